import Primitives
import Topology

/// The images of a topology, uploaded to a development cloud so that its flavors can be tried at once.
struct DevImages: Sendable {
    /// Simulated hosts boot nothing, so an image whose file was not built yet is as good as this many bytes of zeros.
    static let standInBytes = 1 << 20

    let images: [Topology.Image]
    /// Relative paths of image files start here.
    let topologyFolder: String
    /// Where a stand-in is made.
    let folder: String
    let reporter: any ProgressReporter

    func upload(_ client: CloudClient) async throws {
        for image in images {
            let file = FileSystem.resolve(image.file, in: topologyFolder)
            guard FileSystem.exists(file) else {
                try await uploadStandIn(for: image, missing: file, client)
                continue
            }
            try await reporter.step("upload image \(image.name)") {
                try await client.upload(image: image.name, diskFormat: image.diskFormat.rawValue, file: file)
            }
        }
    }

    private func uploadStandIn(for image: Topology.Image, missing: String, _ client: CloudClient) async throws {
        let standIn = "\(folder)/stand-in.raw"
        if !FileSystem.exists(standIn) {
            try PrivateFile.write(String(repeating: "\0", count: Self.standInBytes), to: standIn)
        }
        reporter.report(
            ProgressEvent(.note, "image \(image.name) is 1 MiB of zeros", detail: "\(missing) is not there"))
        try await client.upload(image: image.name, diskFormat: Topology.Image.DiskFormat.raw.rawValue, file: standIn)
    }
}
