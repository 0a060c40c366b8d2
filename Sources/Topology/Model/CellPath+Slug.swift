package import CloudModel

extension CellPath {
    /// One word for unit, file, database and vhost names: `root`, `north`, `eu.eu-1`. Distinct for distinct paths, because
    /// a cell's name has no dot and a topology's check reserves `root`.
    package var slug: String { isRoot ? "root" : components.joined(separator: ".") }

    /// Name of the cell's database, of its role, and of its virtual host.
    package var resourceName: String { Self.resourcePrefix + slug }

    /// The cell whose database, role or virtual host has this name; `nil` when it is no name of ours.
    package init?(resourceName: String) {
        guard resourceName.hasPrefix(Self.resourcePrefix) else { return nil }
        self.init(slug: String(resourceName.dropFirst(Self.resourcePrefix.count)))
    }

    /// The cell whose ``slug`` this is; `nil` when it is none.
    package init?(slug: String) {
        guard slug != CellPath.root.slug else {
            self = .root
            return
        }
        guard !slug.isEmpty else { return nil }
        self.init("/" + slug.replacing(".", with: "/"))
    }

    private static let resourcePrefix = "cellwright_"
}
