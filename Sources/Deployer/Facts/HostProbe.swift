import CloudModel
import FoundationEssentials
import Topology

/// Looks at everything of ours on one host with one script: what the topology wants there, and what is left of earlier.
struct HostProbe: Sendable {
    /// First line of every text file that the tool writes.
    static let marker = "Written by cellwright apply"

    /// Folders of ours; what is in them is ours, too.
    static let folders = [
        ProcessLayout.Paths.configuration, ProcessLayout.Paths.secrets, ProcessLayout.Paths.certificates,
        "/usr/lib/cellwright", ProcessLayout.Paths.executables, ProcessLayout.Paths.previous,
        ProcessLayout.Paths.state, ProcessLayout.Paths.images,
        ProcessLayout.Paths.computeState,
    ]

    /// Whether nobody else has anything in the folder of this file.
    static func isInOurFolder(_ path: String) -> Bool {
        path.hasPrefix("\(ProcessLayout.Paths.units)/cellwright-") || folders.contains { path.hasPrefix("\($0)/") }
    }

    /// Where the tool writes into the settings of Debian's packages.
    static let foreignPlaces = [
        "/etc/postgresql/*/main/pg_hba.conf", "/etc/postgresql/*/main/conf.d/cellwright.conf",
        "/etc/rabbitmq/rabbitmq.conf", "/etc/rabbitmq/rabbitmq-env.conf", "/etc/libvirt/qemu.conf",
        "\(ProcessLayout.Paths.units)/*.service.d/cellwright.conf",
    ]

    /// Has no place for a marker: ours when the broker's settings are.
    static let brokerPlugins = "/etc/rabbitmq/enabled_plugins"
    static let brokerSettings = "/etc/rabbitmq/rabbitmq.conf"

    let host: HostName
    private let wanted: [Resource]

    /// - Parameter wanted: the resources of `host`.
    init(host: HostName, wanted: [Resource]) {
        self.host = host
        self.wanted = wanted
    }

    func script() -> String {
        """
        shopt -s nullglob
        gates=$(mktemp)
        trap 'rm -f "$gates"' EXIT
        \(gatesPart)
        \(packagesPart)
        \(accountsPart)
        marked=$(grep -l -s \(ShellQuoting.quoted(Self.marker)) \(Self.foreignPlaces.joined(separator: " ")) || true)
        case "$marked" in *\(Self.brokerSettings)*) if [ -e \(Self.brokerPlugins) ]; then
          marked="$marked \(Self.brokerPlugins)"; fi;; esac
        files="\(HostScript.words(names(.file))) $(find \(ProcessLayout.Paths.configuration) \
        \(ProcessLayout.Paths.executables) \(ProcessLayout.Paths.previous) -type f 2>/dev/null || true) $(echo \(ProcessLayout.Paths.units)/cellwright-*.service) $marked"
        folders="\(HostScript.words(names(.directory))) \(HostScript.words(Self.folders))"
        for f in $marked; do case $f in *.service.d/cellwright.conf) folders="$folders ${f%/*}";; esac; done
        stat -c 'path\t%n\t%F\t%a\t%U\t%G\t%Z' -- $(printf '%s\\n' $files $folders | sort -u) 2>/dev/null || true
        inodes=$(stat -c '%d:%i %n' -- $(printf '%s\\n' $files | sort -u) 2>/dev/null || true)
        \(HostScript.digests)
        $digests $(awk '!seen[$1]++ {print $2}' <<<"$inodes") 2>/dev/null </dev/null | sed 's/^/digest\t/' || true
        awk 'seen[$1] {print "same\t" seen[$1] "\t" $2; next} {seen[$1] = $2}' <<<"$inodes"
        units=$(printf '%s\\n' \(HostScript.words(names(.unit))) $(cd \(ProcessLayout.Paths.units) && echo cellwright-*.service) \
        $(systemctl list-units --all --plain --no-legend 'cellwright-*.service' | awk '{print $1}') | sort -u)
        \(Self.unitsPart)
        wait
        cat "$gates"
        echo end
        """
    }

    /// One line a unit: its properties, and what the process that it runs was started with.
    private static let unitsPart = """
        systemctl show --timestamp=unix -p Id -p LoadState -p ActiveState -p UnitFileState -p ExecMainStartTimestamp \
          -p MainPID -- $units | awk -v RS= -F '\\n' '{
            id = ""; line = ""
            for (i = 1; i <= NF; i++) if ($i ~ /^Id=/) id = substr($i, 4); else line = line "\t" $i
            print "unit\t" id line }' | while IFS= read -r line; do
          pid=${line#*MainPID=}
          pid=${pid%%[!0-9]*}
          printf '%s\t' "$line"
          if [ "${pid:-0}" != 0 ] && [ -r "/proc/$pid/environ" ]; then
            tr '\\0' '\\n' < "/proc/$pid/environ" | grep -s '^\(ResourceSpecification.Unit.inputsVariable)=' | head -1 | tr -d '\\n' || true
          fi
          printf '\\n'
        done
        """

    /// What the script's output says. `nil` when it is cut short.
    func observations(_ output: String) -> [Resource.ID: ObservedFacts.Observation]? {
        var parser = HostProbeParser(host: host)
        for line in output.lines { parser.read(line) }
        guard parser.isComplete else { return nil }
        for resource in wanted where resource.id.kind == .unit { parser.noteAlteredFiles(of: resource, among: wanted) }
        for resource in wanted {
            switch resource.specification {
            case .packages(let names): parser.packages(resource.id, names)
            default: break
            }
        }
        return parser.observations
    }

    private func names(_ kind: Resource.Kind) -> [String] { wanted.filter { $0.id.kind == kind }.map(\.id.name) }

    private var packagesPart: String {
        let names = Set(
            wanted.flatMap { resource -> [String] in
                if case .packages(let names) = resource.specification { names } else { [] }
            })
        guard !names.isEmpty else { return "" }
        return "dpkg-query -W -f='package\\t${Package}\\t${db:Status-Status}\\n' "
            + "\(HostScript.words(names.sorted())) 2>/dev/null || true"
    }

    private var accountsPart: String {
        let names = names(.account)
        guard !names.isEmpty else { return "" }
        return "getent passwd \(HostScript.words(names)) | awk -F: -v OFS='\\t' '{print \"account\", $1, $6}' || true"
    }

    /// All at once, in the background: one that does not answer would hold up the rest.
    private var gatesPart: String {
        wanted.compactMap { resource in
            guard case .gate(_, let endpoint) = resource.specification else { return nil }
            return """
                { status=$(curl --silent --max-time 2 --output /dev/null --write-out '%{http_code}' \
                \(HostScript.healthArguments(endpoint))) || true
                printf 'gate\t%s\t%s\\n' \(ShellQuoting.quoted(resource.id.name)) "$status" >> "$gates"; } &
                """
        }.joined(separator: "\n")
    }
}

/// Reads what a ``HostProbe``'s script prints, a line at a time.
struct HostProbeParser {
    private(set) var observations: [Resource.ID: ObservedFacts.Observation] = [:]
    private(set) var isComplete = false
    private let host: HostName
    private var installed: Set<String> = []
    /// When a file last changed, and when a unit's process started, in seconds since 1970.
    private var changes: [String: Int] = [:]
    private var starts: [String: Int] = [:]

    init(host: HostName) { self.host = host }

    mutating func read(_ line: String) {
        let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        switch (fields[0], fields.count) {
        case ("package", 3): if fields[2] == "installed" { installed.insert(fields[1]) }
        case ("account", 3): set(.account, fields[1], ["home": fields[2]])
        case ("path", 7): path(fields)
        case ("digest", 2): digest(fields[1])
        case ("same", 3): same(fields[1], fields[2])
        case ("unit", 2...): unit(fields)
        case ("gate", 3): set(.gate, fields[1], ["answers": fields[2] == "200" ? "yes" : "no"])
        case ("end", 1): isComplete = true
        default: break
        }
    }

    /// A group of packages is there as far as its packages are.
    mutating func packages(_ id: Resource.ID, _ names: [String]) {
        let found = names.filter(installed.contains)
        observations[id] = .present(Dictionary(uniqueKeysWithValues: found.map { ($0, "installed") }))
    }

    /// A process that started after somebody altered one of its files has read what was not meant for it, whatever its
    /// environment says. One that started before has not.
    mutating func noteAlteredFiles(of unit: Resource, among wanted: [Resource]) {
        guard let start = starts[unit.id.name], case .present(let found) = observations[unit.id],
            let inputs = unit.attributes["inputs"], found["inputs"] == inputs
        else { return }
        let files = Set(unit.dependsOn.filter { $0.kind == .file })
        let isAltered = wanted.contains { file in
            guard files.contains(file.id), case .present(let attributes) = observations[file.id],
                let change = changes[file.id.name]
            else { return false }
            return attributes["content"] != file.attributes["content"] && change <= start
        }
        if isAltered { set(.unit, unit.id.name, ["inputs": "from an altered file"]) }
    }

    private mutating func set(_ kind: Resource.Kind, _ name: String, _ attributes: [String: String]) {
        let id = Resource.ID(kind, host: host, name: name)
        if case .present(let known) = observations[id] {
            observations[id] = .present(known.merging(attributes) { _, new in new })
        } else {
            observations[id] = .present(attributes)
        }
    }

    private mutating func path(_ fields: [String]) {
        let mode = String(repeating: "0", count: max(0, 4 - fields[3].count)) + fields[3]
        let owner = fields[4] == fields[5] ? fields[4] : "\(fields[4]):\(fields[5])"
        let attributes = ["mode": mode, "owner": owner]
        changes[fields[1]] = Int(fields[6])
        switch fields[2] {
        case "directory": set(.directory, fields[1], attributes)
        case "regular file", "regular empty file": set(.file, fields[1], attributes)
        default: set(.file, fields[1], attributes.merging(["content": fields[2]]) { _, new in new })
        }
    }

    /// `<64 hexadecimal digits>  <path>`
    private mutating func digest(_ text: String) {
        guard text.utf8.count > 66 else { return }
        set(.file, String(text.dropFirst(66)), ["content": String(text.prefix(64))])
    }

    /// Another name of a file whose digest is known by now.
    private mutating func same(_ path: String, _ other: String) {
        guard case .present(let known) = observations[.init(.file, host: host, name: path)] else { return }
        if let content = known["content"] { set(.file, other, ["content": content]) }
    }

    private mutating func unit(_ fields: [String]) {
        var values: [String: String] = [:]
        for field in fields.dropFirst(2) {
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if parts.count == 2 { values[parts[0]] = parts[1] }
        }
        guard values["LoadState"] != "not-found" || values["ActiveState"] == "active" else { return }
        var attributes = [
            "active": values["ActiveState"] == "active" ? "yes" : "no",
            "enabled": values["UnitFileState"] == "enabled" ? "yes" : "no",
        ]
        attributes["inputs"] = values[ResourceSpecification.Unit.inputsVariable]
        starts[fields[1]] = values["ExecMainStartTimestamp"].flatMap { Int($0.dropFirst()) }
        set(.unit, fields[1], attributes)
    }
}
