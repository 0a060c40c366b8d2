import ArgumentParser
import CloudModel
import DatabaseSetup
import Foundation
import IdentityAPI
import Persistence
import PostgresClient
import Primitives
import ServiceKit

/// Makes what a cloud starts with; says what it made. Run by the deploy tool, again and again.
struct Bootstrap: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make projects, users, flavors and networks. Reads one JSON object from standard input.")

    /// The project that owns the cloud's shared networks.
    private static let owner = "admin"

    @OptionGroup var settings: SettingsOption

    private struct Document: Decodable {
        let projects: [BootstrapDocument.Project]
        let users: [BootstrapDocument.User]
        let flavors: [CloudSeed.Flavor]?
        let networks: [CloudSeed.Network]?
    }

    private struct Answer: Encodable {
        let changed: [String]
    }

    func run() async throws {
        let settings = try settings.load()
        let document = try Self.read()
        let pool = try DatabaseSetup.open(settings.database, name: "bootstrap", connections: 2)
        let identity = try IdentityParts(settings, pool, SystemWallClock())
        var changes = try await IdentityBootstrap(
            repository: identity.repository, hasher: identity.hasher, authority: identity.authority,
            ids: SystemIDSource()
        ).run(BootstrapDocument(projects: document.projects, users: document.users)).map(\.description)
        let seed = CloudSeed(flavors: document.flavors ?? [], networks: document.networks ?? [])
        let compute = PostgresComputeStore(pool: pool)
        changes += try await seed.apply(
            flavors: compute, networks: PostgresNetworkStore(pool: pool, ids: SystemIDSource()),
            owner: try await owner(identity), ids: SystemIDSource(), now: SystemWallClock().now())
        await pool.close()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(Answer(changed: changes)), as: UTF8.self))
    }

    private func owner(_ identity: IdentityParts) async throws -> ProjectID {
        let projects = try await identity.repository.projects(AccountFilter(name: Self.owner))
        guard let project = projects.first else {
            throw ValidationError("networks belong to project \(Self.owner), which the document does not make")
        }
        return project.id
    }

    private static func read() throws -> Document {
        let data = try FileHandle.standardInput.readToEnd() ?? Data()
        do {
            return try JSONDecoder().decode(Document.self, from: data)
        } catch {
            // What was read holds passwords, so nothing of it is repeated.
            throw ValidationError("standard input is not {\"projects\", \"users\", \"flavors\", \"networks\"}")
        }
    }
}
