import FoundationEssentials
import MessageBus
import Primitives

/// Asks and tells a RabbitMQ server as its administrator: its management API, by `curl` on a host.
///
/// The password reaches curl through a configuration file that is a pipe of the shell's own, so it is nobody's argument.
struct BrokerScript: Sendable {
    /// Virtual hosts of ours begin so; nothing else on a broker is looked at or touched.
    static let prefix = "cellwright_"

    private let preamble: String

    /// - Parameters:
    ///   - url: of the management API, as the host sees it: `http://127.0.0.1:15672`.
    ///   - authority: by what an `https` URL is verified.
    init(url: String, user: String, password: Secret, authority: ServerAuthority = .none) {
        let api = ShellQuoting.quoted(url + (url.hasSuffix("/") ? "api/" : "/api/"))
        // A printf of the shell's own is no process, so the password is on no command line.
        preamble = """
            broker() { # METHOD PATH [USER:PASSWORD]; a body comes from standard input for PUT and POST
              local data= login=${3:-$administrator}
              login=${login//\\\\/\\\\\\\\}
              login=${login//\\"/\\\\\\"}
              case $1 in PUT|POST) data='--data-binary @-';; esac
              curl --silent --show-error --max-time 20 --header 'content-type: application/json' \\
                ${authority:+--cacert "$authority"} --config <(printf 'user = "%s"\\n' "$login") --request "$1" $data \\
                --output "$answer" --write-out '%{http_code}' \(api)"$2"
            }
            administrator=\(ShellQuoting.quoted("\(user):\(password.reveal())"))
            \(authority.preamble)
            answer=$(mktemp)
            trap 'rm -f "$answer" \(authority.isTemporary ? "\"$authority\"" : "")' EXIT

            """
    }

    /// Prints `vhosts`, `users`, `permissions`, `topic-permissions` and `queues`, each with a tab and a JSON array, or
    /// `refused` when the administrator is not let in, or `down` when nothing answers.
    func facts() -> String {
        preamble + """
            for list in vhosts users permissions topic-permissions queues; do
              columns=
              if [ $list = queues ]; then columns='?columns=name,vhost&disable_stats=true'; fi
              status=$(broker GET "$list$columns" 2>/dev/null) || { printf 'down\\n'; exit 0; }
              case $status in
                200) printf '%s\\t' $list; tr -d '\\n' < "$answer"; printf '\\n';;
                401) printf 'refused\\n'; exit 0;;
                *) echo "the broker's management API answered $status to GET $list" >&2; exit 1;;
              esac
            done
            """
    }

    /// Carries out requests in order; each must succeed. What a DELETE does not find is no error.
    func perform(_ requests: [BrokerRequest]) throws -> String {
        var script = preamble
        for request in requests {
            let path = ShellQuoting.quoted(request.path)
            let body = try request.bodyData().map { String(decoding: $0, as: UTF8.self) } ?? ""
            script += """
                status=$(broker \(request.method.rawValue) \(path) <<'CELLWRIGHT'
                \(body)
                CELLWRIGHT
                )
                case $status in 2??\(request.method == .delete ? "|404" : "")) ;;
                  *) echo "the broker answered $status to \(request.method.rawValue) "\(path) >&2; cat "$answer" >&2; exit 1;; esac

                """
        }
        return script
    }

    /// Makes the administrator: with the account that a fresh broker has, on loopback only, which then goes, and with it
    /// the virtual host that it had; else, when that is gone and the password is not known any more, with the broker's own
    /// tool.
    func makeAdministrator(_ name: String, password: Secret) -> String {
        preamble + """
            for i in $(seq 150); do # a broker that has just started opens this port last
              status=$(broker GET whoami 2>/dev/null) && break
              sleep 0.2
            done
            if [ "$status" != 200 ]; then
              body() { printf '{"password":"%s","tags":"administrator"}' "${administrator#*:}"; }
              status=$(body | broker PUT users/\(name) guest:guest)
              case $status in
                2??) ;;
                *) printf '%s\\n' "${administrator#*:}" | rabbitmqctl -q change_password \(name) >/dev/null 2>&1 ||
                     printf '%s\\n' "${administrator#*:}" | rabbitmqctl -q add_user \(name) >/dev/null
                   rabbitmqctl -q set_user_tags \(name) administrator >/dev/null;;
              esac
              [ "$(broker GET whoami)" = 200 ] || { echo "the new administrator is not let in" >&2; exit 1; }
            fi
            for theirs in users/guest vhosts/%2F; do
              case $(broker DELETE $theirs) in 204|404) ;; *) echo "$theirs of a fresh broker could not be removed" >&2; exit 1;; esac
            done
            """
    }

    static let jsonLabels = ["vhosts", "users", "permissions", "topic-permissions", "queues"]
}
