import CellProtocol
package import CloudModel
import FoundationEssentials
import PostgresClient

extension PostgresRootStore: DirectoryStore {
    package func page(_ query: DirectoryQuery) async throws -> [DirectoryRow] {
        var conditions = DirectorySQL.conditions(query)
        let order = DirectorySQL.order(query.sort)
        if let marker = query.marker {
            conditions.append(try await keyset(after: marker, order, project: query.projectID))
        }
        var statement: Statement = "\(raw: DirectorySQL.select)"
        if !conditions.isEmpty {
            statement.append(raw: " where ")
            statement.append(Statement.joined(conditions, separator: " and "))
        }
        statement.append(raw: " order by " + order.map(\.sql).joined(separator: ", "))
        let limit: Statement = " limit \(max(0, query.limit))"
        statement.append(limit)
        do {
            return try await pool.query(statement).map(DirectorySQL.row)
        } catch let error as PostgresError where error.sqlState == "2201B" {
            throw DirectoryError.invalidPattern(DirectorySQL.patterns(query).first ?? "")
        }
    }

    package func find(_ id: ServerID) async throws -> DirectoryRow? {
        let rows = try await pool.query("\(raw: DirectorySQL.select) where i.id = \(id) and i.deleted_at is null")
        return try rows.first.map(DirectorySQL.row)
    }

    package func usage(of project: ProjectID) async throws -> ComputeUsage {
        let rows = try await pool.query(Self.usage(of: project))
        return try rows.first.map(Self.usage) ?? ComputeUsage()
    }

    static func usage(of project: ProjectID) -> Statement {
        """
        select count(*) as instances, coalesce(sum(vcpus), 0) as cores, coalesce(sum(memory_mib), 0) as memory_mib
        from directory.instances where project_id = \(project.text) and deleted_at is null
        """
    }

    static func usage(_ row: Row) throws -> ComputeUsage {
        ComputeUsage(
            instances: Int(try row.get("instances", as: Int64.self)), cores: Int(try row.get("cores", as: Int64.self)),
            memoryMiB: Int(try row.get("memory_mib", as: Int64.self)))
    }

    /// The rows that come after the marker's in `order`: equal in the first keys and beyond in the next.
    private func keyset(
        after marker: ServerID, _ order: [DirectorySQL.Order], project: ProjectID?
    ) async throws -> Statement {
        let known = try await pool.query(
            "select i.project_id from directory.instances i where i.id = \(marker)")
        guard let owner: String = try known.first?.get("project_id"), project == nil || project?.text == owner else {
            throw DirectoryError.markerNotFound(marker)
        }
        // The marker's own keys are read by the same statement, so no value makes a round trip through this process.
        let alternatives = order.indices.map { index -> Statement in
            var parts = order[..<index].map { equal -> Statement in
                "\(raw: equal.expression) = \(raw: equal.expression(of: "m"))"
            }
            let last = order[index]
            parts.append(
                "\(raw: last.expression) \(raw: last.isAscending ? ">" : "<") \(raw: last.expression(of: "m"))")
            return "(\(fragment: Statement.joined(parts, separator: " and ")))"
        }
        return """
            exists (select 1 from directory.instances m where m.id = \(marker)
                and (\(fragment: Statement.joined(alternatives, separator: " or "))))
            """
    }
}
