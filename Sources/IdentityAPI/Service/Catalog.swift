import Crypto
import FoundationEssentials
import HTTPKit
import Primitives

/// The service catalog as one request sees it: made from the configuration, kept nowhere.
struct Catalog {
    struct Service {
        let id: String
        let entry: CatalogEntry
        let endpoints: [Endpoint]
    }

    struct Endpoint {
        let id: String
        let serviceID: String
        let interface: String
        let region: String
        let url: String
    }

    private static let interfaces = ["public", "internal", "admin"]

    let services: [Service]
    let region: String

    init(_ configuration: IdentityConfiguration, baseURL: String) {
        region = configuration.region
        services = configuration.catalog.map { entry in
            let serviceID = Self.identifier("service", entry.type)
            let endpoints = Self.interfaces.map { interface in
                let base = interface == "public" ? baseURL : configuration.internalURL ?? baseURL
                return Endpoint(
                    id: Self.identifier("endpoint", entry.type, interface, configuration.region), serviceID: serviceID,
                    interface: interface, region: configuration.region, url: base + entry.path)
            }
            return Service(id: serviceID, entry: entry, endpoints: endpoints)
        }
    }

    var endpoints: [Endpoint] { services.flatMap(\.endpoints) }

    /// As it stands in a token.
    var json: JSONValue {
        .array(
            services.map { service in
                [
                    "id": .string(service.id), "type": .string(service.entry.type),
                    "name": .string(service.entry.name),
                    "endpoints": .array(
                        service.endpoints.map { endpoint in
                            [
                                "id": .string(endpoint.id), "interface": .string(endpoint.interface),
                                "region": .string(endpoint.region), "region_id": .string(endpoint.region),
                                "url": .string(endpoint.url),
                            ]
                        }),
                ]
            })
    }

    /// The same words give the same id, in every replica and after every restart.
    private static func identifier(_ words: String...) -> String {
        SHA256.hash(data: Array(words.joined(separator: "\n").utf8)).prefix(16)
            .map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
