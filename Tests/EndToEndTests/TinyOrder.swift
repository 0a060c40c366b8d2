import CloudHarness
import Primitives

/// What a load orders: the smallest server that there is, as often as it likes.
enum TinyOrder {
    /// Makes an image and room for ten thousand servers in the session's project.
    /// - Parameter name: of the image.
    /// - Returns: members of a server to be created; its name is the caller's.
    static func prepare(in session: CloudSession, image name: String) async throws -> [String: JSONValue] {
        try await session.compute.expect(
            200, from: .put, "/os-quota-sets/\(session.projectID)",
            ["quota_set": ["instances": 10_000, "cores": 10_000, "ram": 10_000_000]])
        try await session.network.expect(
            200, from: .put, "/quotas/\(session.projectID)", ["quota": ["port": 10_000]])
        let image = try await TinyImage.create(in: session, name: name)
        guard
            let flavor = try await session.compute.get("/flavors").list("flavors").first(where: {
                $0["name"] == "m1.nano"
            }),
            let network = try await session.network.get("/networks").list("networks").first(where: {
                $0["name"] == "demo-net"
            })
        else { throw HarnessFailure("no flavor m1.nano or no network demo-net") }
        return [
            "flavorRef": .string(try flavor.text("id")), "imageRef": .string(image),
            "networks": [["uuid": .string(try network.text("id"))]],
        ]
    }
}
