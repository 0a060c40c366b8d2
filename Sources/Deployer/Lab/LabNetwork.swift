import FoundationEssentials
import Glibc

/// The bridge that a lab's hosts hang on. A link's alias tells whose it is, so that no other link is ever touched.
struct LabNetwork: Sendable {
    static let namePrefix = "cwlab"
    /// Labs on one machine at a time.
    static let limit = 16

    let specification: LabSpecification

    var alias: String { "cellwright lab \(specification.folder)" }

    /// This lab's bridge, if there is one.
    func existing() -> String? {
        for number in 0..<Self.limit where owner("\(Self.namePrefix)\(number)") == alias {
            return "\(Self.namePrefix)\(number)"
        }
        return nil
    }

    /// Makes the bridge or finds it, and returns its name.
    func up() async throws -> String {
        if let bridge = existing() {
            try await ip(["link", "set", bridge, "up"])
            return bridge
        }
        try await refuseOverlap()
        guard
            let bridge = (0..<Self.limit).map({ "\(Self.namePrefix)\($0)" })
                .first(where: { !FileSystem.exists("/sys/class/net/\($0)") })
        else { throw LabFailure("there are \(Self.limit) labs on this machine already") }
        try await ip(["link", "add", bridge, "type", "bridge"])
        try await ip(["link", "set", bridge, "alias", alias])
        try await ip(["address", "add", "\(specification.gateway)/\(specification.prefixLength)", "dev", bridge])
        try await ip(["link", "set", bridge, "up"])
        return bridge
    }

    func down() async throws {
        guard let bridge = existing() else { return }
        try await ip(["link", "delete", bridge])
    }

    private func ip(_ arguments: [String]) async throws {
        try await LocalCommand("ip", arguments, timeout: .seconds(10)).check()
    }

    private func owner(_ link: String) -> String? {
        let path = "/sys/class/net/\(link)/ifalias"
        guard FileSystem.exists(path) else { return nil }
        do { return try FileSystem.text(path).trimmed } catch { return nil }
    }

    /// Refuses a network that this machine already has a route into.
    private func refuseOverlap() async throws {
        let routes = try await LocalCommand("ip", ["-4", "route", "show", "root", specification.network]).check()
        let inside = try await LocalCommand("ip", ["-4", "route", "show", "match", specification.network]).check()
        let found = (routes + "\n" + inside).lines.first { !$0.isEmpty && !$0.hasPrefix("default ") }
        if let found {
            throw LabFailure(
                "the lab's network \(specification.network) is in use on this machine (\(found.trimmed)); "
                    + "choose another under `lab:` in the topology, or end what uses it")
        }
    }
}
