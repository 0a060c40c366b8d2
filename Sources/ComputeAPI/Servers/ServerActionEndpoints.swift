import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `POST /servers/{id}/action`: one object with the action's name as its only key.
struct ServerActionEndpoints: ComputeEndpoints {
    /// Actions that the API once had.
    private static let gone = ["resetNetwork", "os-getRDPConsole"]

    private let dependencies: ComputeDependencies
    private let servers: ServerAccess

    init(_ dependencies: ComputeDependencies, _ servers: ServerAccess) {
        self.dependencies = dependencies
        self.servers = servers
    }

    var routes: [ComputeRoute] { [ComputeRoute(.post, "servers/{id}/action", .member, act)] }

    private func act(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body()
        guard body.remainingKeys.count == 1, let action = body.remainingKeys.first else {
            throw APIFault.badRequest("There must be exactly one action in the request.")
        }
        let arguments = try body.requiredValue(action)
        switch action {
        case "os-start": return try await run(.start, "start", arguments, request)
        case "os-stop": return try await run(.stop, "stop", arguments, request)
        case "reboot": return try await reboot(arguments, request)
        case "lock": return try await lock(arguments, request)
        case "unlock": return try await unlock(arguments, request)
        case "os-getConsoleOutput": return try await consoleOutput(arguments, request)
        case "forceDelete": return try await forceDelete(arguments, request)
        default:
            if Self.gone.contains(action) { throw APIFault(.gone, "This action was removed from the compute API.") }
            throw APIFault.badRequest("There is no such action: \(action.prefix(100))")
        }
    }

    private func run(
        _ action: ServerAction, _ verb: String, _ arguments: JSONValue, _ request: ComputeRequest
    ) async throws -> Response {
        guard arguments == .null || arguments == .object([:]) || request.version < 75 else {
            throw APIFault.badRequest("Invalid input for field/attribute os-\(verb): it takes no value.")
        }
        return try await perform(action, verb, request)
    }

    private func perform(_ action: ServerAction, _ verb: String, _ request: ComputeRequest) async throws -> Response {
        let row = try await servers.row(request)
        try await servers.act(action, verb: verb, on: row, request)
        try await servers.record(action.name, on: [row.summary.id], request)
        return .empty(.accepted)
    }

    private func reboot(_ arguments: JSONValue, _ request: ComputeRequest) async throws -> Response {
        var body = try JSONObjectReader(arguments, path: "reboot")
        let type = try body.requiredString("type")
        try body.finish()
        guard ["SOFT", "HARD"].contains(type.uppercased()) else {
            throw body.invalid("type", .string(type), "is not one of ['HARD', 'SOFT']")
        }
        return try await perform(.reboot(hard: type.uppercased() == "HARD"), "reboot", request)
    }

    private func lock(_ arguments: JSONValue, _ request: ComputeRequest) async throws -> Response {
        var reason: String?
        if request.version >= 73, arguments != .null {
            var body = try JSONObjectReader(arguments, path: "lock")
            reason = try body.string("locked_reason", length: 1...255)
            try body.finish()
        }
        return try await perform(.lock(reason: reason), "lock", request)
    }

    private func unlock(_ arguments: JSONValue, _ request: ComputeRequest) async throws -> Response {
        try await perform(.unlock, "unlock", request)
    }

    private func forceDelete(_ arguments: JSONValue, _ request: ComputeRequest) async throws -> Response {
        let row = try await servers.row(request)
        if row.summary.isLocked && !request.isAdmin { throw ServerAccess.locked(row.summary.id) }
        let outcome = try await dependencies.acceptance.delete(
            row.summary.id, requestID: request.requestID, caller: request.caller)
        guard outcome != .notFound else { throw ServerAccess.notFound(request.id) }
        try await servers.record("delete", on: [row.summary.id], request)
        return .empty(.accepted)
    }

    private func consoleOutput(_ arguments: JSONValue, _ request: ComputeRequest) async throws -> Response {
        var lines: Int?
        if arguments != .null {
            var body = try JSONObjectReader(arguments, path: "os-getConsoleOutput")
            let length = try body.integer("length", in: -1...Int.max, nullable: true, acceptsText: true)
            try body.finish()
            lines = length == -1 ? nil : length
        }
        let row = try await servers.row(request)
        let id = row.summary.id
        guard let cell = row.cell else { throw APIFault.conflict("Instance \(id) is not ready") }
        let reply = try await dependencies.cells.send(
            ConsoleOutputRequest(id: id, lines: lines), to: cell, context: dependencies.callContext(request))
        switch reply {
        case .output(let text): return .json(["output": .string(Self.printable(text))])
        case .notFound: throw ServerAccess.notFound(request.id)
        case .conflict(let message): throw ServerAccess.conflict(id, "os-getConsoleOutput", because: message)
        case .unavailable(let message): throw APIFault.conflict("Unable to get console log of \(id): \(message)")
        }
    }

    /// Without control characters, tabs and line feeds apart.
    private static func printable(_ text: String) -> String {
        var output = String.UnicodeScalarView()
        for scalar in text.unicodeScalars where scalar.value >= 0x20 || scalar == "\t" || scalar == "\n" {
            output.append(scalar)
        }
        return String(output)
    }
}
