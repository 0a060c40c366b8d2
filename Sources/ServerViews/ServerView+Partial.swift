import CellProtocol
package import CloudModel
package import FoundationEssentials
package import Primitives

extension ServerView {
    /// From here on a server whose cell can't be reached is shown with what the root knows; before, it is left out.
    package static let partialRecordsVersion = 69

    /// A server whose cell can't be reached: from the directory, status UNKNOWN, keys that only the cell knows missing.
    ///
    /// `flavor` is what the directory's flavor id stands for today, if it still exists.
    package func writePartial(_ summary: InstanceSummary, flavor: Flavor?, to writer: inout JSONWriter) {
        let links = ResourceLinks(computeURL: context.computeURL)
        writer.object { writer in
            writer.field("id", summary.id.description)
            writer.field("status", "UNKNOWN")
            links.write("servers", summary.id.description, to: &writer)
            guard context.detail != .brief else { return }
            writer.field("tenant_id", summary.projectID.text)
            writer.field("created", Timestamp.seconds(summary.createdAt))
            guard context.detail == .single else { return }
            writer.field("user_id", summary.userID.text)
            writer.field("OS-EXT-AZ:availability_zone", summary.availabilityZone ?? "UNKNOWN")
            writer.field("OS-EXT-STS:power_state", PowerState.noState.rawValue)
            if let imageID = summary.imageID {
                writer.object("image") { writer in
                    writer.field("id", imageID.description)
                    links.writeBookmark("images", imageID.description, to: &writer)
                }
            } else {
                writer.field("image", "")
            }
            if let flavor { writeFlavor(flavor, to: &writer) }
            if context.microversion >= 71 { writer.array("server_groups") { _ in } }
        }
    }

    package func renderPartial(_ summary: InstanceSummary, flavor: Flavor?) -> Data {
        var writer = JSONWriter()
        writePartial(summary, flavor: flavor, to: &writer)
        return Data(writer.bytes)
    }
}
