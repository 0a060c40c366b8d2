import CloudModel
import Topology

/// A change of the sample topology, of what it rests on, or of the world, whose plan is in Tests/Golden/plans.
struct PlanEdit: Sendable {
    let name: String
    /// Texts of the file with what takes their place.
    var replacements: [(old: String, new: String)] = []
    var inputs = SampleWorld.inputs
    /// What happened to the world since the sample was applied to it.
    var happened: @Sendable (inout ObservedFacts) -> Void = { _ in }

    init(_ name: String, replacing old: String, with new: String = "") {
        self.name = name
        replacements = [(old, new)]
    }

    init(_ name: String, _ replacements: [(old: String, new: String)]) {
        self.name = name
        self.replacements = replacements
    }

    init(_ name: String, inputs change: (inout DesiredState.Inputs) -> Void) {
        self.name = name
        change(&inputs)
    }

    init(_ name: String, happened: @escaping @Sendable (inout ObservedFacts) -> Void) {
        self.name = name
        self.happened = happened
    }
}

extension PlanEdit {
    private static let north =
        "  - name: north\n    defaults: { availabilityZone: north }\n    hosts:\n      - north-[1-2]\n"
    private static let south =
        "  - name: south\n    defaults: { availabilityZone: south }\n    hosts:\n      - south-[1-2]\n"
    private static let region = "region: RegionOne\n"
    private static let machine = "hosts:\n  - control-1\n"

    static let all = growth + shrinkage + settings + objects + builds + drift

    private static let growth: [PlanEdit] = [
        .init("new", happened: { $0 = ObservedFacts() }),
        .init("add-cell", replacing: "bootstrap:\n", with: "  - name: west\n    hosts: [\"west-[1-2]\"]\nbootstrap:\n"),
        .init(
            "add-cell-with-own-control",
            [
                (machine, machine + "  - west-control\nroot: {control: control-1}\n"),
                ("bootstrap:\n", "  - {name: west, control: west-control, hosts: [west-1]}\nbootstrap:\n"),
            ]),
        .init("add-host", replacing: "north-[1-2]", with: "north-[1-3]"),
        .init(
            "add-branch", replacing: "bootstrap:\n",
            with: "  - name: eu\n    cells:\n      - {name: eu-1, hosts: [eu-1-1]}\nbootstrap:\n"),
        .init("add-empty-cell", replacing: "bootstrap:\n", with: "  - {name: west, hosts: []}\nbootstrap:\n"),
        .init(
            "add-api-host", replacing: machine,
            with: machine + "  - control-2\nroot: {control: control-1}\napi: {host: [control-1, control-2]}\n"),
        .init(
            "add-control-host", replacing: machine,
            with: machine + "  - control-2\nroot: {control: [control-1, control-2], database: {host: control-1}}\n"),
    ]

    private static let shrinkage: [PlanEdit] = [
        .init("remove-empty-cell", replacing: south),
        .init("remove-cell", replacing: north),
        .init("remove-host", replacing: "north-[1-2]", with: "north-1"),
        .init("remove-empty-host", replacing: "south-[1-2]", with: "south-1"),
        .init("rename-cell", replacing: "name: north", with: "name: norden"),
        .init(
            "move-host", replacing: "      - north-[1-2]\n" + south,
            with: "      - north-1\n" + south + "      - north-2\n"),
        .init(
            "move-cell-to-own-control",
            [
                (machine, machine + "  - control-2\nroot: {control: control-1}\n"),
                ("name: north\n", "name: north\n    control: control-2\n"),
            ]),
        .init(
            "split-cell", replacing: "    hosts:\n      - north-[1-2]\n",
            with: "    cells:\n      - {name: n, hosts: [\"north-[1-2]\"]}\n"),
    ]

    private static let settings: [PlanEdit] = [
        .init("change-port", replacing: region, with: region + "api: {port: 8080}\n"),
        .init("change-listen", replacing: region, with: region + "api: {listen: 10.77.0.11}\n"),
        .init("change-public-url", replacing: region, with: region + "api: {publicURL: \"https://cloud.example\"}\n"),
        .init("change-region", replacing: region, with: "region: Lyon\n"),
        .init("change-zone", replacing: "availabilityZone: south", with: "availabilityZone: sud"),
        .init(
            "change-capacity", replacing: "      - north-[1-2]\n",
            with: "      - {name: north-1, capacity: {vcpus: 8, memoryMiB: 4096}}\n      - north-2\n"),
        .init("change-hypervisor", replacing: region, with: region + "defaults: {hypervisor: {virtType: qemu}}\n"),
        .init(
            "change-driver", replacing: "availabilityZone: south",
            with: "availabilityZone: south, hypervisor: {driver: simulated}"),
        .init(
            "change-labels", replacing: "availabilityZone: south", with: "availabilityZone: south, labels: {rack: r7}"),
        .init("change-database-port", replacing: region, with: region + "root: {database: {port: 5433}}\n"),
        .init("change-broker-port", replacing: region, with: region + "root: {broker: {port: 5673}}\n"),
    ]

    private static let objects: [PlanEdit] = [
        .init(
            "add-flavor", replacing: "  images:\n",
            with: "    - {name: m1.big, vcpus: 8, memoryMiB: 8192, diskGiB: 80}\n  images:\n"),
        .init("change-flavor", replacing: "memoryMiB: 192", with: "memoryMiB: 256"),
        .init("change-network", replacing: "      shared: true\n", with: "      dns: [9.9.9.9]\n"),
        .init("change-roles", replacing: "roles: [member]", with: "roles: [member, reader]"),
        .init("change-image", replacing: "diskFormat: qcow2", with: "diskFormat: raw"),
        .init(
            "add-quota", replacing: "      description: For first steps\n",
            with: "      description: For first steps\n      quota: {instances: 20, ports: -1}\n"),
    ]

    private static let builds: [PlanEdit] = [
        .init("new-binary", inputs: { $0.binaries["cellwright-conductor"] = "c2" }),
        .init("new-agent", inputs: { $0.binaries["cellwright-compute"] = "d2" }),
        .init("new-api", inputs: { $0.binaries["cellwright-api"] = "a2" }),
        .init("new-supervisor", inputs: { $0.binaries["cellwright-supervisor"] = "b2" }),
        .init("new-secret", inputs: { $0.secrets[.database(.at("/south"))] = "s2" }),
    ]

    private static let drift: [PlanEdit] = [
        .init("no-change", happened: { _ in }),
        .init(
            "drift",
            happened: { facts in
                let secret = Resource.ID(.file, host: "north-1", name: "/etc/cellwright/secrets/broker.host.north-1")
                let unit = Resource.ID(.unit, host: "control-1", name: "cellwright-api.service")
                facts.observations[secret] = .present(["mode": "0644", "owner": "root", "content": ""])
                facts.observations[unit] = .present(["active": "no", "enabled": "yes"])
                facts.observations[.init(.brokerVhost, host: "control-1", name: "cellwright_south")] = .absent
                facts.observations[.init(.databaseRole, host: "control-1", name: "cellwright_west")] = .present([:])
            }),
        .init(
            "lost-database",
            happened: { $0.observations[.init(.database, host: "control-1", name: "cellwright_north")] = .absent }),
        .init(
            "stray-database",
            happened: { $0.observations[.init(.database, host: "control-1", name: "cellwright_west")] = .present([:]) }),
        .init(
            "killed-agent",
            happened: { facts in
                let id = Resource.ID(.unit, host: "north-2", name: "cellwright-compute.service")
                guard case .present(var attributes) = facts[id] else { return }
                attributes["active"] = "no"
                facts.observations[id] = .present(attributes)
            }),
        .init("unreachable-host", happened: { $0.unreachable["south-2"] = "ssh: connection refused" }),
        .init(
            "fresh-machine",
            happened: { facts in
                facts.observations = facts.observations.filter { id, _ in id.host != "south-2" }
            }),
    ]
}
