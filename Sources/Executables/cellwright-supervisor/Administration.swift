import ArgumentParser
import BusSetup
import CellProtocol
import CloudModel
import DatabaseSetup
import Foundation
import MessageBus
import Persistence
import PostgresClient
import Primitives
import ServerLifecycle
import ServiceKit

struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Bring the cell's database to this program's schema.")

    @OptionGroup var settings: SettingsOption

    func run() async throws {
        let settings = try settings.load()
        let pool = try DatabaseSetup.open(settings.database, name: "migrate", connections: 1)
        let applied = try await CellSchemas.migrate(pool, try settings.cell.cellKind())
        await pool.close()
        try Output.changed(applied)
    }
}

struct CellCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cell", abstract: "The cells below: the mappings of the root or of a branch.",
        subcommands: [Put.self, List.self, Remove.self, Resync.self])

    struct Put: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Map a cell, or change where it is. Reads one JSON object {path, name, bus} from standard input.")

        @OptionGroup var settings: SettingsOption

        private struct Mapping: Decodable {
            let path: CellPath
            let bus: CellMapping.Endpoint
        }

        func run() async throws {
            let mapping = try Input.decode(Mapping.self)
            try await withParentStore(settings) { store in
                let isChanged = try await store.putCell(mapping.path, bus: mapping.bus, now: SystemWallClock().now())
                try Output.changed(isChanged ? [mapping.path.description] : [])
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the mappings as JSON, without secrets.")

        @OptionGroup var settings: SettingsOption

        private struct Row: Encodable {
            let path: CellPath
            let host: String
            let port: Int
            let vhost: String
            let user: String
            let isEnabled: Bool
            let health: String
            let reason: String?
        }

        func run() async throws {
            try await withParentStore(settings) { store in
                try Output.json(
                    try await store.cells().map {
                        Row(
                            path: $0.path, host: $0.bus.host, port: $0.bus.port, vhost: $0.bus.vhost, user: $0.bus.user,
                            isEnabled: $0.isEnabled, health: $0.health.rawValue, reason: $0.reason)
                    })
            }
        }
    }

    struct Resync: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a cell's servers into the directory again, while requests are served.")

        @OptionGroup var settings: SettingsOption
        @Argument(help: "The cell's path, such as /north.") var path: String

        func run() async throws {
            guard let path = CellPath(path) else { throw ValidationError("\(path) is not a cell path such as /north") }
            try await withParentStore(settings) { store in
                guard try await store.requestResync(of: path) else {
                    throw ValidationError("there is no cell \(path) here")
                }
                try Output.changed([path.description])
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Forget a cell's mapping.")

        @OptionGroup var settings: SettingsOption
        @Argument(help: "The cell's path, such as /north.") var path: String

        func run() async throws {
            guard let path = CellPath(path) else { throw ValidationError("\(path) is not a cell path such as /north") }
            try await withParentStore(settings) { store in
                try Output.changed(try await store.removeCell(path) ? [path.description] : [])
            }
        }
    }
}

struct HostCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "host", abstract: "The hosts of a leaf cell.", subcommands: [Put.self])

    struct Put: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a host's command queue. Reads one JSON object {name} from standard input.")

        @OptionGroup var settings: SettingsOption

        private struct Host: Decodable {
            let name: String
        }

        func run() async throws {
            let settings = try settings.load()
            let host = try Input.decode(Host.self)
            let shell = ProcessShell(service: "cellwright-supervisor")
            let bus: any MessageBus = try BusSetup.open(
                settings.bus, name: "host put", wallClock: SystemWallClock(), shell: shell)
            try await bus.declare(.cell)
            try await bus.declare(.host(host.name))
            await bus.close()
            try Output.changed([])
        }
    }
}

private func withParentStore(
    _ option: SettingsOption, _ body: (any ParentStore) async throws -> Void
) async throws {
    let settings = try option.load()
    guard let cell = CellPath(settings.cell.path) else { throw ValidationError("cell.path is not a cell path") }
    let kind = try settings.cell.cellKind()
    guard kind != .leaf else {
        throw ValidationError("cells are mapped in their parent: use its settings file")
    }
    let pool = try DatabaseSetup.open(settings.database, name: "cell", connections: 1)
    if kind == .root {
        let ports = PortLedger.network(PostgresNetworkStore(pool: pool, ids: SystemIDSource()))
        try await body(PostgresRootStore(pool: pool, ports: ports))
    } else {
        try await body(PostgresBranchStore(pool: pool, cell: cell))
    }
    await pool.close()
}

enum Input {
    static func decode<Value: Decodable>(_: Value.Type) throws -> Value {
        let data = try FileHandle.standardInput.readToEnd() ?? Data()
        do {
            return try JSONDecoder().decode(Value.self, from: data)
        } catch {
            // What was read may hold a secret, so nothing of it is repeated.
            throw ValidationError("standard input is not the JSON object that this command reads")
        }
    }
}

enum Output {
    private struct Changed: Encodable {
        let changed: [String]
    }

    static func changed(_ names: [String]) throws { try json(Changed(changed: names)) }

    static func json(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(value), as: UTF8.self))
    }
}
