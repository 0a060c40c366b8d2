import Topology

/// Scripts that keep what a cell's processes ran with on a host, and bring it back. Each may be run again.
enum UpgradeScript {
    private typealias Paths = ProcessLayout.Paths
    /// systemd starts a process that ended again after a second; a build that needs this many is broken.
    private static let restarts = 2

    /// What an upgrade that was cut short kept already is the older, good version and stays. The executable comes last:
    /// with it all is kept.
    static func keep(_ processes: [ProcessLayout.Process]) -> String {
        let parts = processes.map { process in
            let pairs = zip(process.replaceable, process.kept).map { ($0, $1) }
            let copies = pairs.dropFirst().map { path, kept in
                "if [ -e \(path) ]; then cp -p \(path) \(kept).new; mv -f \(kept).new \(kept); fi"
            }
            let (path, kept) = pairs[0]
            return """
                if [ ! -e \(kept) ]; then
                \(copies.joined(separator: "\n"))
                if [ -e \(path) ]; then ln \(path) \(kept); fi
                fi
                """
        }
        return (["install -d -m 0700 -o root -g root \(Paths.previous)"] + parts).joined(separator: "\n")
    }

    static func forget(_ processes: [ProcessLayout.Process]) -> String {
        """
        rm -f \(HostScript.words(processes.flatMap(\.kept)))
        if [ -d \(Paths.previous) ]; then rmdir --ignore-fail-on-non-empty \(Paths.previous); fi
        """
    }

    /// As ``HostScript/gate(_:seconds:)``, but a process that ends again and again is not waited for.
    static func gate(_ endpoint: ProcessConfiguration.Endpoint, unit: String, seconds: Int) -> String {
        """
        last=
        end=$((SECONDS + \(seconds)))
        while [ $SECONDS -lt $end ]; do
          last=$(curl --silent --show-error --max-time 2 --output /dev/null --write-out '%{http_code}' \
        \(HostScript.healthArguments(endpoint)) 2>&1) && [ "$last" = 200 ] && exit 0
          if [ "$(systemctl show -p NRestarts --value \(unit))" -ge \(restarts) ]; then
            echo "\(unit) ends as soon as it is started" >&2
            exit 1
          fi
          sleep 0.2
        done
        echo "no healthy answer from \(HostScript.healthURL(endpoint)) within \(seconds) s: $last" >&2
        exit 1
        """
    }

    /// Every process must go on answering, and none may end meanwhile.
    static func watch(_ processes: [ProcessLayout.Process], seconds: Int) -> String {
        let units = HostScript.words(processes.map(\.unit))
        let checks = processes.map { process in
            """
            systemctl -q is-active \(process.unit) || { echo "\(process.unit) ended" >&2; exit 1; }
            [ "$(curl --silent --max-time 2 --output /dev/null --write-out '%{http_code}' \
            \(HostScript.healthArguments(process.configuration.healthEndpoint)))" = 200 ] ||
              { echo "\(process.unit) does not answer any more" >&2; exit 1; }
            """
        }
        return """
            before=$(systemctl show -p MainPID --value \(units))
            for i in $(seq \(seconds)); do
            \(checks.joined(separator: "\n"))
            sleep 1
            done
            [ "$(systemctl show -p MainPID --value \(units))" = "$before" ] ||
              { echo "a process ended and was started again" >&2; exit 1; }
            """
    }

    /// Puts back what was kept and restarts what runs with anything else: a process that the upgrade never came to goes
    /// on.
    static func rollBack(_ processes: [ProcessLayout.Process]) -> String {
        let files = processes.map { process in
            let moves = zip(process.kept, process.replaceable).reversed().map { kept, path in
                """
                if [ \(kept) -ef \(path) ]; then rm -f \(kept)
                elif [ -e \(kept) ]; then mv -f \(kept) \(path); fi
                """
            }
            return """
                pid=$(systemctl show -p MainPID --value \(process.unit))
                if [ -e \(process.kept[0]) ]; then
                inputs=$(grep -s -o '\(ResourceSpecification.Unit.inputsVariable)=[^ ]*' \(process.kept[1]) || true)
                if [ ! "/proc/$pid/exe" -ef \(process.kept[0]) ] ||
                  ! grep -q -s -z -x -F "$inputs" "/proc/$pid/environ"; then
                  stale="$stale \(process.unit)"
                fi
                \(moves.joined(separator: "\n"))
                fi
                """
        }
        return
            (["stale="] + files + [
                "systemctl daemon-reload",
                "if [ -n \"$stale\" ]; then",
                "systemctl reset-failed $stale 2>/dev/null || true",
                "systemctl restart $stale",
                "fi",
                "if [ -d \(Paths.previous) ]; then rmdir --ignore-fail-on-non-empty \(Paths.previous); fi",
            ]).joined(separator: "\n")
    }
}
