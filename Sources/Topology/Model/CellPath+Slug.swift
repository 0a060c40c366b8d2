package import CloudModel

extension CellPath {
    /// One word for unit, file, database and vhost names: `root`, `north`, `eu.eu-1`. Distinct for distinct paths, because
    /// a cell's name has no dot and a topology's check reserves `root`.
    package var slug: String { isRoot ? "root" : components.joined(separator: ".") }

    /// Name of the cell's database, of its role, and of its virtual host.
    package var resourceName: String { "cellwright_\(slug)" }
}
