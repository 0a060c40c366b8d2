import CellProtocol
package import CloudModel
import FoundationEssentials
import PostgresClient

extension PostgresRootStore: DirectoryStore {
    package func list(_ query: DirectoryQuery) async throws -> DirectoryPage {
        var conditions = DirectorySQL.conditions(query)
        let order = DirectorySQL.order(query.sort)
        if let marker = query.marker {
            try await checkMarker(marker, project: query.projectID)
            conditions += Self.keyset(after: marker, order)
        }
        var page: Statement = "\(raw: DirectorySQL.rows)"
        if !conditions.isEmpty {
            page.append(raw: " where ")
            page.append(Statement.joined(conditions, separator: " and "))
        }
        page.append(raw: " order by " + order.map { $0.sql(of: "i") }.joined(separator: ", "))
        let outerOrder = order.map { $0.sql(of: "r") }.joined(separator: ", ")
        do {
            let rows = try await pool.query(
                """
                select g.*, r.* from (select \(raw: DirectorySQL.gaps)) g
                left join lateral (\(fragment: page) limit \(max(0, query.limit))) r on true
                order by \(raw: outerOrder)
                """)
            return try Self.page(rows)
        } catch let error as PostgresError where error.sqlState == "2201B" {
            throw DirectoryError.invalidPattern(DirectorySQL.patterns(query).first ?? "")
        }
    }

    private static func page(_ rows: Rows) throws -> DirectoryPage {
        let gaps: [String] = try rows.first?.get("gaps") ?? []
        return DirectoryPage(
            rows: try rows.compactMap { try $0.isNull("id") ? nil : try DirectorySQL.row($0) },
            gaps: try gaps.map { try cell($0) })
    }

    package func find(_ id: ServerID) async throws -> DirectoryRow? {
        let rows = try await pool.query(
            """
            select g.*, r.*, m.group_id from (select \(raw: DirectorySQL.gaps)) g
            left join lateral (\(raw: DirectorySQL.rows) where i.id = \(id)) r on true
            left join scheduler.group_members m on m.instance_id = \(id)
            """)
        let page = try Self.page(rows)
        if page.rows.isEmpty, !page.gaps.isEmpty { throw DirectoryError.incomplete }
        guard var row = page.rows.first, row.summary.state.vm != .deleted else { return nil }
        row.group = try rows.first?.get("group_id", as: ServerGroupID?.self)
        return row
    }

    package func usage(of project: ProjectID, user: UserID?) async throws -> ComputeUsage {
        let rows = try await pool.query(Self.usage(of: project, user: user))
        return try rows.first.map(Self.usage) ?? ComputeUsage()
    }

    /// Held until the transaction ends: what counts against the project's quotas is counted and added by one at a time.
    static func quotaLock(_ project: ProjectID) -> Statement {
        "select pg_advisory_xact_lock(hashtextextended(\("quota " + project.text), 0))"
    }

    static func usage(of project: ProjectID, user: UserID?) -> Statement {
        """
        select count(*) as instances, coalesce(sum(vcpus), 0)::bigint as cores,
            coalesce(sum(memory_mib), 0)::bigint as memory_mib
        from quota.uses where project_id = \(project.text) and (\(user?.text)::text is null or user_id = \(user?.text)::text)
        """
    }

    static func usage(_ row: Row) throws -> ComputeUsage {
        ComputeUsage(
            instances: Int(try row.get("instances", as: Int64.self)), cores: Int(try row.get("cores", as: Int64.self)),
            memoryMiB: Int(try row.get("memory_mib", as: Int64.self)))
    }

    private func checkMarker(_ marker: ServerID, project: ProjectID?) async throws {
        let rows = try await pool.query(
            """
            select g.*, (select i.project_id from directory.instances i where i.id = \(marker)) as owner
            from (select \(raw: DirectorySQL.gaps)) g
            """)
        let owner: String? = try rows.first?.get("owner")
        let gaps: [String] = try rows.first?.get("gaps") ?? []
        if owner == nil, !gaps.isEmpty { throw DirectoryError.incomplete }
        guard let owner, project == nil || project?.text == owner else {
            throw DirectoryError.markerNotFound(marker)
        }
    }

    /// The rows that come after the marker's in `order`. The marker's keys are read by the same statement, so no value
    /// makes a round trip through this process, and they stand where an index can use them.
    private static func keyset(after marker: ServerID, _ order: [DirectorySQL.Order]) -> [Statement] {
        func key(_ order: DirectorySQL.Order) -> Statement {
            "(select \(raw: order.expression(of: "m")) from directory.instances m where m.id = \(marker))"
        }
        let directions = Set(order.map(\.isAscending))
        if directions.count == 1 {
            let columns = order.map(\.expression).joined(separator: ", ")
            let keys = Statement.joined(order.map(key), separator: ", ")
            return ["(\(raw: columns)) \(raw: order[0].isAscending ? ">" : "<") (\(fragment: keys))"]
        }
        let alternatives = order.indices.map { index -> Statement in
            var parts = order[..<index].map { equal -> Statement in
                "\(raw: equal.expression) = \(fragment: key(equal))"
            }
            let last = order[index]
            parts.append("\(raw: last.expression) \(raw: last.isAscending ? ">" : "<") \(fragment: key(last))")
            return "(\(fragment: Statement.joined(parts, separator: " and ")))"
        }
        let first = order[0]
        return [
            "\(raw: first.expression) \(raw: first.isAscending ? ">=" : "<=") \(fragment: key(first))",
            "(\(fragment: Statement.joined(alternatives, separator: " or ")))",
        ]
    }
}
