import CloudModel
import Primitives
import ServerViews

/// Flavors as the API shows them.
struct FlavorView {
    let version: Int
    let links: ResourceLinks

    init(_ request: ComputeRequest) {
        version = request.version
        links = request.links
    }

    func writeBrief(_ flavor: Flavor, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.field("id", flavor.id)
            writer.field("name", flavor.name)
            if version >= 55 { writer.field("description", flavor.description) }
            links.write("flavors", flavor.id, to: &writer)
        }
    }

    func writeDetail(_ flavor: Flavor, to writer: inout JSONWriter) {
        writer.object { writer in members(flavor, to: &writer) }
    }

    func members(_ flavor: Flavor, to writer: inout JSONWriter) {
        writer.field("id", flavor.id)
        writer.field("name", flavor.name)
        writer.field("ram", flavor.memoryMiB)
        writer.field("disk", flavor.diskGiB)
        writer.field("vcpus", flavor.vcpus)
        writer.field("OS-FLV-EXT-DATA:ephemeral", flavor.ephemeralGiB)
        if flavor.swapMiB == 0 && version < 75 {
            writer.field("swap", "")
        } else {
            writer.field("swap", flavor.swapMiB)
        }
        writer.field("os-flavor-access:is_public", flavor.isPublic)
        if version < 102 {
            writer.field("rxtx_factor", flavor.rxtxFactor)
            writer.field("OS-FLV-DISABLED:disabled", flavor.isDisabled)
        }
        if version >= 55 { writer.field("description", flavor.description) }
        if version >= 61 { writer.field("extra_specs", flavor.extraSpecs) }
        links.write("flavors", flavor.id, to: &writer)
    }
}
