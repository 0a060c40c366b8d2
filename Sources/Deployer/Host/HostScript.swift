import FoundationEssentials
import Topology

/// Scripts that make or remove one thing on a host. Each may be run again. They travel over standard input, so the ones
/// that write secrets may hold them; nothing secret is ever an argument of a command in them.
enum HostScript {
    /// Installs what is missing, without questions and without starting services that nobody asked for yet.
    static func install(_ packages: [String]) -> String {
        let names = words(packages)
        return """
            export DEBIAN_FRONTEND=noninteractive
            there=$(dpkg-query -W -f='<${db:Status-Status} ${Package}>' \(names) 2>/dev/null || true)
            missing=
            for p in \(names); do
              case $there in *"<installed $p>"*) ;; *) missing="$missing $p";; esac
            done
            if [ -n "$missing" ]; then
              apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing >/dev/null ||
                { apt-get -q update >/dev/null
                  apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends $missing >/dev/null; }
            fi
            """
    }

    static func account(name: String, home: String) -> String {
        let name = ShellQuoting.quoted(name)
        return """
            getent group \(name) >/dev/null || groupadd --system \(name)
            if getent passwd \(name) >/dev/null; then
              usermod --home \(ShellQuoting.quoted(home)) --shell /usr/sbin/nologin \(name)
            else
              useradd --system --gid \(name) --home-dir \(ShellQuoting.quoted(home)) --no-create-home \\
                --shell /usr/sbin/nologin \(name)
            fi
            """
    }

    static func removeAccount(name: String) -> String {
        """
        if getent passwd \(ShellQuoting.quoted(name)) >/dev/null; then userdel \(ShellQuoting.quoted(name)); fi
        if getent group \(ShellQuoting.quoted(name)) >/dev/null; then groupdel \(ShellQuoting.quoted(name)); fi
        """
    }

    static func directory(_ directory: ResourceSpecification.Directory) -> String {
        let owner = ShellQuoting.quoted(directory.owner)
        return "install -d -m \(directory.mode) -o \(owner) -g \(owner) -- \(ShellQuoting.quoted(directory.path))"
    }

    /// What a folder of ours has in it goes with it, unless a Debian package of ours put it there.
    static func removeTree(_ path: String) -> String {
        let path = ShellQuoting.quoted(path)
        return "dpkg-query -S \(path) >/dev/null 2>&1 || rm -rf --one-file-system -- \(path)"
    }

    /// A folder that is empty by now; one that holds something of somebody else's stays.
    static func removeEmptyFolder(_ path: String) -> String {
        "rmdir -- \(ShellQuoting.quoted(path)) 2>/dev/null || true"
    }

    /// Writes a file beside its place and renames it. A file of somebody else's that it replaces is kept beside it as
    /// `.before-cellwright` until ours is removed.
    static func file(path: String, mode: String, owner: String, content: Data) -> String {
        let target = ShellQuoting.quoted(path)
        return """
            umask 077
            t=$(mktemp \(target).XXXXXX)
            trap 'rm -f "$t"' EXIT
            base64 -d > "$t" <<'CELLWRIGHT'
            \(content.base64EncodedString())
            CELLWRIGHT
            chown \(ShellQuoting.quoted("\(owner):\(owner)")) "$t"
            chmod \(mode) "$t"
            if [ -e \(target) ] && [ ! -e \(ShellQuoting.quoted(path + keptSuffix)) ] &&
               dpkg-query -S \(target) >/dev/null 2>&1; then cp -a \(target) \(ShellQuoting.quoted(path + keptSuffix)); fi
            mv -f "$t" \(target)
            """
    }

    /// Sets `digests` to a command that prints for each file 64 digits, two characters and the path. Executables have a
    /// hundred megabytes, and OpenSSL reads them eight times as fast where the processor knows SHA-256.
    static let digests =
        "if command -v openssl >/dev/null; then digests='openssl dgst -sha256 -r'; else digests='sha256sum --'; fi"

    static let linked = "linked"

    /// Gives an executable that the host has under another name, or from a package, this name as well, and says
    /// ``linked``. Says nothing when it has none.
    static func linkExecutable(to path: String, digest: String, bytes: Int, mode: String, owner: String) -> String {
        let target = ShellQuoting.quoted(path)
        return """
            t=$(mktemp -u \(target).XXXXXX)
            trap 'rm -f "$t"' EXIT
            \(digests)
            for f in \(ProcessLayout.Paths.executables)/* \(ProcessLayout.Paths.packaged)/*; do
              if [ "$(stat -c '%s 0%a %U:%G' "$f" 2>/dev/null || true)" != '\(bytes) \(mode) \(owner):\(owner)' ] ||
                [ "$f" -ef \(target) ]; then continue; fi
              case "$($digests "$f")" in \(digest)*)
                ln "$f" "$t"
                mv -f "$t" \(target)
                echo \(linked)
                exit 0;;
              esac
            done
            """
    }

    static let keptSuffix = ".before-cellwright"

    static func removeFile(_ path: String) -> String {
        let kept = ShellQuoting.quoted(path + keptSuffix)
        return """
            if [ -e \(kept) ]; then mv -f \(kept) \(ShellQuoting.quoted(path))
            elif ! dpkg-query -S \(ShellQuoting.quoted(path)) >/dev/null 2>&1; then rm -f -- \(ShellQuoting.quoted(path)); fi
            """
    }

    /// Makes a unit run with what is on the disk now: enabled, started or, when it runs, restarted or reloaded.
    static func unit(_ name: String, inputs: String?, effect: PlanEffect) -> String {
        let unit = ShellQuoting.quoted(name)
        let change =
            switch effect {
            case .none: "true"
            case .reload: "systemctl reload \(unit)"
            case .create, .restart, .replace, .destroy: "systemctl restart \(unit)"
            }
        return """
            \(enable(unit, inputs: inputs))
            if systemctl -q is-active \(unit); then \(change)
            else systemctl start \(unit); fi
            """
    }

    /// Reloads systemd's files only where it must: that takes a second on a busy host. systemd does not always notice
    /// a drop-in in a folder that is younger than its last look, so the inputs that it knows are compared as well.
    private static func enable(_ unit: String, inputs: String?) -> String {
        let wanted = ShellQuoting.quoted(
            inputs.map { "\(ResourceSpecification.Unit.inputsVariable)=\($0)" } ?? "")
        return """
            if [ "$(systemctl is-enabled \(unit) 2>/dev/null || true)" != enabled ]; then
              systemctl -q enable --no-reload \(unit); fi
            if [ "$(systemctl show -p NeedDaemonReload --value \(unit))" != no ] ||
               [ "$(systemctl show -p UnitFileState --value \(unit))" != enabled ]; then systemctl daemon-reload
            else case "$(systemctl show -p Environment --value \(unit))" in
              *\(wanted)*) ;; *) systemctl daemon-reload;; esac; fi
            if systemctl -q is-failed \(unit); then systemctl reset-failed \(unit); fi
            """
    }

    /// The same for PostgreSQL, which takes most settings by a reload, and says itself when it needs more.
    static func databaseUnit(_ name: String, inputs: String?) -> String {
        let unit = ShellQuoting.quoted(name)
        let pending =
            "select case current_setting('\(DatabaseProbe.inputsSetting)', true) when '\(inputs ?? "")' "
            + "then count(*)::text else 'unread' end from pg_settings where pending_restart"
        return """
            \(enable(unit, inputs: nil))
            if systemctl -q is-active \(unit); then
              systemctl reload \(unit)
              for i in $(seq 20); do # it reads its files a moment after it was told to
                pending=$(cd / && runuser -u postgres -- psql -XAtqc "\(pending)" 2>/dev/null || echo unknown)
                if [ "$pending" != unread ]; then break; fi
                sleep 0.1
              done
              if [ "$pending" != 0 ]; then systemctl restart \(unit); fi
            else systemctl start \(unit); fi
            """
    }

    /// Stops and disables a unit; one that is not there is no error.
    static func stopUnit(_ name: String) -> String {
        let unit = ShellQuoting.quoted(name)
        return """
            systemctl -q disable --now \(unit) 2>/dev/null || systemctl -q stop \(unit) 2>/dev/null || true
            systemctl reset-failed \(unit) 2>/dev/null || true
            """
    }

    /// Stops several units at once.
    static func stopAll(_ names: [String]) -> String {
        """
        systemctl -q disable --now \(words(names)) 2>/dev/null || true
        systemctl -q kill --signal=SIGKILL \(words(names)) 2>/dev/null || true
        """
    }

    /// Has a unit of Debian's that runs take the settings that are there now.
    static func restart(_ name: String) -> String {
        "systemctl daemon-reload; systemctl try-restart \(ShellQuoting.quoted(name))"
    }

    /// Ends every guest that an agent of ours started, and what it made for them: domains, address services, links,
    /// firewall tables. All of it bears our names.
    static let removeGuests = """
        for pid in \(ProcessLayout.Paths.computeState)/networks/*/*.pid; do
          if [ -e "$pid" ] && p=$(cat "$pid") && grep -qs dnsmasq "/proc/$p/comm"; then kill "$p" || true; fi
        done
        if command -v virsh >/dev/null; then
          for d in $(virsh -q -c qemu:///system list --all --name 2>/dev/null | grep '^cellwright-' || true); do
            virsh -q -c qemu:///system destroy "$d" >/dev/null 2>&1 || true
            virsh -q -c qemu:///system undefine "$d" >/dev/null 2>&1 || true
            rm -f "/var/log/libvirt/qemu/$d.log"
          done
        fi
        for link in /sys/class/net/cwb* /sys/class/net/cwt*; do
          if [ -e "$link" ]; then ip link delete "${link##*/}" || true; fi
        done
        if command -v nft >/dev/null; then
          nft list tables 2>/dev/null | grep ' cellwright_' | while read -r line; do nft delete $line; done || true
        fi
        """

    /// Waits until a service process answers its health check with 200; says what it answered and logged if it never does.
    static func gate(_ endpoint: ProcessConfiguration.Endpoint, seconds: Int) -> String {
        """
        last=
        end=$((SECONDS + \(seconds)))
        while [ $SECONDS -lt $end ]; do
          last=$(curl --silent --show-error --max-time 2 --output /dev/null --write-out '%{http_code}' \
        \(healthArguments(endpoint)) 2>&1) && [ "$last" = 200 ] && exit 0
          sleep 0.2
        done
        echo "no healthy answer from \(healthURL(endpoint)) within \(seconds) s: $last" >&2
        exit 1
        """
    }

    /// The last lines of a unit's log, for the error of a gate.
    static func log(of unit: String, lines: Int) -> String {
        "journalctl --no-pager --output=cat --lines=\(lines) --unit=\(ShellQuoting.quoted(unit)) || true"
    }

    static func healthURL(_ endpoint: ProcessConfiguration.Endpoint) -> String {
        let host = endpoint.host == "0.0.0.0" ? "127.0.0.1" : endpoint.host
        return "\(endpoint.authority == nil ? "http" : "https")://\(host):\(endpoint.port)/healthz"
    }

    /// The end of a `curl` call.
    static func healthArguments(_ endpoint: ProcessConfiguration.Endpoint) -> String {
        let trust = endpoint.authority.map { "--cacert \(ShellQuoting.quoted($0)) " } ?? ""
        return trust + healthURL(endpoint)
    }

    static func words(_ list: [String]) -> String { list.map(ShellQuoting.quoted).joined(separator: " ") }
}
