/// One kind of service in the catalog.
package struct CatalogEntry: Sendable, Equatable {
    /// As clients ask for it: `compute`.
    package var type: String
    /// As people know it: `nova`.
    package var name: String
    /// Behind the base URL: `/compute/v2.1`.
    package var path: String

    package init(type: String, name: String, path: String) {
        self.type = type
        self.name = name
        self.path = path
    }

    /// What the API process serves itself.
    package static let served = [
        CatalogEntry(type: "identity", name: "keystone", path: "/identity"),
        CatalogEntry(type: "image", name: "glance", path: "/image"),
        CatalogEntry(type: "network", name: "neutron", path: "/network"),
        CatalogEntry(type: "compute", name: "nova", path: "/compute/v2.1"),
        CatalogEntry(type: "cells", name: "cellwright", path: "/cells/v1"),
    ]
}

package struct IdentityConfiguration: Sendable {
    package var region: String
    package var catalog: [CatalogEntry]
    /// What internal endpoints begin with, if hosts reach the API elsewhere than clients do.
    package var internalURL: String?

    package init(region: String, catalog: [CatalogEntry] = CatalogEntry.served, internalURL: String? = nil) {
        self.region = region
        self.catalog = catalog
        self.internalURL = internalURL
    }
}
