package import CloudModel

extension Topology {
    /// Where the REST services answer.
    package struct API: Sendable, Equatable, Codable {
        package static let defaultPort = 8774
        package static let defaultListenAddress = "0.0.0.0"

        /// Hosts that run `cellwright-api`: at least one.
        package var hosts: [HostName]
        /// One for all hosts, or one for each in the order of ``hosts``.
        package var listenAddresses: [String]
        package var port: Int
        /// What the catalog says; `https://<address of the first host>:<port>` when absent, `http` without TLS.
        package var publicURL: String?

        package init(
            hosts: [HostName], listenAddress: String = defaultListenAddress, port: Int = defaultPort,
            publicURL: String? = nil
        ) {
            self.init(hosts: hosts, listenAddresses: [listenAddress], port: port, publicURL: publicURL)
        }

        package init(hosts: [HostName], listenAddresses: [String], port: Int = defaultPort, publicURL: String? = nil) {
            self.hosts = hosts
            self.listenAddresses = listenAddresses
            self.port = port
            self.publicURL = publicURL
        }

        /// Where the API listens on `host`.
        package func listenAddress(on host: HostName) -> String {
            guard listenAddresses.count > 1, let index = hosts.firstIndex(of: host) else {
                return listenAddresses.first ?? Self.defaultListenAddress
            }
            return listenAddresses[index]
        }
    }

    /// Which services the cloud runs itself. The topology's checks refuse existing ones as long as nothing can use them.
    package struct Services: Sendable, Equatable, Codable {
        package var identity: Service
        package var image: Service
        package var network: Service

        package init(identity: Service = .embedded, image: Service = .embedded, network: Service = .embedded) {
            self.identity = identity
            self.image = image
            self.network = network
        }
    }

    package enum Service: Sendable, Equatable, Codable {
        /// Part of `cellwright-api`.
        case embedded
        case existing(ExistingService)
    }

    /// A service that somebody else runs, and how to be its administrator.
    package struct ExistingService: Sendable, Hashable, Codable {
        package var url: String
        package var user: String
        package var password: PasswordSource

        package init(url: String, user: String, password: PasswordSource) {
            self.url = url
            self.user = user
            self.password = password
        }
    }

    /// Hosts as containers on this machine.
    package struct Lab: Sendable, Equatable, Codable {
        package static let defaultNetwork = "10.77.0.0/24"

        /// The hosts' network; its first address is this machine's.
        package var network: IPv4Network

        package init(network: IPv4Network) { self.network = network }

        /// This machine's address in the lab, through which the hosts reach the world.
        package var gateway: IPv4Address { network.host(1) }
    }

    /// The address users reach the API at.
    package var publicURL: String {
        if let url = api.publicURL { return url }
        let address = api.hosts.first.flatMap { host($0)?.reachableAt } ?? "127.0.0.1"
        return "\(usesTLS ? "https" : "http")://\(address):\(api.port)"
    }

    /// The same topology with an address for every host of the lab. Hosts that exist keep theirs (`existing`), those with
    /// one in the file get that, new ones the lowest that is free, so a host that is added moves no other. One that the
    /// topology no longer has keeps its address as well, for as long as it exists.
    /// A topology without a lab is returned as it is.
    package func withLabAddresses(existing: [HostName: String] = [:]) -> Topology {
        guard let lab else { return self }
        var taken = Set(hosts.compactMap(\.address))
        taken.formUnion(existing.values)
        // The first ten stay free for the machine itself and for what an operator adds by hand.
        var next = 11
        func address(for host: Host) -> String {
            if let address = host.address ?? existing[host.name] { return address }
            while taken.contains(lab.network.host(next).description) { next += 1 }
            let address = lab.network.host(next).description
            taken.insert(address)
            return address
        }
        var result = self
        result.machines = machines.map { host in
            var host = host
            host.address = address(for: host)
            return host
        }
        func visit(_ cell: Cell) -> Cell {
            var cell = cell
            switch cell.content {
            case .children(let cells): cell.content = .children(cells.map(visit))
            case .hosts(let hosts):
                cell.content = .hosts(
                    hosts.map { host in
                        var host = host
                        host.address = address(for: host)
                        return host
                    })
            }
            return cell
        }
        result.root = visit(root)
        return result
    }
}
