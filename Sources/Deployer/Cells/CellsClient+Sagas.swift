package import CloudModel
import FoundationEssentials
import Primitives

/// Which sagas a list is to have; nothing given is what is live or parked, anywhere.
package struct SagaSelection: Sendable, Equatable {
    /// With everything below it.
    package var cell: CellPath?
    package var states: [String]
    /// A server's id, or its name if only one has it.
    package var server: String?
    package var host: HostName?
    /// Seconds since the saga was begun, at least.
    package var olderThan: Int?

    package init(
        cell: CellPath? = nil, states: [String] = [], server: String? = nil, host: HostName? = nil,
        olderThan: Int? = nil
    ) {
        self.cell = cell
        self.states = states
        self.server = server
        self.host = host
        self.olderThan = olderThan
    }
}

extension CellsClient {
    package func sagas(_ selection: SagaSelection = SagaSelection()) async throws -> SagaList {
        var query = selection.states.map { "&state=\(Self.escaped($0))" }.joined()
        if let cell = selection.cell { query += "&cell=\(cell)" }
        if let host = selection.host { query += "&host=\(Self.escaped(host.text))" }
        if let seconds = selection.olderThan { query += "&older_than=\(seconds)" }
        if let server = selection.server {
            // A server that is gone may have sagas all the same, so its id is not looked up.
            let id = ServerID(server) == nil ? try await self.server(server).id : server
            query += "&server=\(Self.escaped(id))"
        }
        var silent: [String: SagaList.SilentCell] = [:]
        let sagas: [SagaReport] = try await all("sagas", query: query, key: "sagas") { answer in
            let cells: [SagaList.SilentCell] = try Self.decode(answer, "cells_silent")
            for cell in cells { silent[cell.path] = cell }
        }
        return SagaList(sagas: sagas, cellsSilent: silent.values.sorted { $0.path < $1.path })
    }

    package func saga(_ id: String) async throws -> SagaReport {
        try Self.decode(try await ask(.get, "/sagas/\(Self.escaped(id))"), "saga")
    }

    /// Has a parked saga go on at the step where it stood.
    /// - Throws: ``CellsFailure/refused(_:)`` when it is not parked, or its server has gone on without it.
    package func retry(_ saga: SagaReport) async throws -> SagaReport {
        try await order(["order": "retry"], saga)
    }

    /// Gives a saga up.
    /// - Throws: ``CellsFailure/refused(_:)`` when it has ended.
    package func abandon(_ saga: SagaReport, reason: String?) async throws -> SagaReport {
        var order: [String: JSONValue] = ["order": "abandon"]
        if let reason { order["reason"] = .string(reason) }
        return try await self.order(order, saga)
    }

    private func order(_ order: [String: JSONValue], _ saga: SagaReport) async throws -> SagaReport {
        let path = "/sagas/\(Self.escaped(saga.id))?cell=\(Self.escaped(saga.cell))"
        return try Self.decode(try await ask(.put, path, .object(["saga": .object(order)])), "saga")
    }
}
