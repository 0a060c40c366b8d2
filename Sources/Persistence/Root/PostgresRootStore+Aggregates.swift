package import CloudModel
package import FoundationEssentials
import PostgresClient

extension PostgresRootStore: AggregateStore {
    package func aggregates() async throws -> [Aggregate] {
        try await pool.query(Self.aggregates(where: "true")).map(Self.aggregate)
    }

    package func aggregate(_ number: Int64) async throws -> Aggregate? {
        try await pool.query(Self.aggregates(where: "g.number = \(number)")).first.map(Self.aggregate)
    }

    package func insert(_ aggregate: Aggregate) async throws -> Aggregate {
        var stored = aggregate
        stored.number = try await Self.checkingName(aggregate.name) {
            try await pool.query(
                """
                insert into directory.aggregates (id, name, metadata, created_at)
                values (\(aggregate.id), \(aggregate.name), \(PostgresJSON(aggregate.metadata)), \(aggregate.createdAt))
                returning number
                """
            ).scalar() ?? 0
        }
        return stored
    }

    package func change(_ number: Int64, _ change: AggregateChange, now: Date) async throws -> Aggregate {
        try await pool.transaction { transaction in
            let known = try await Self.lock(number, in: transaction)
            let concerned = known.hosts(concernedBy: change)
            let hosts = try await Self.hosts(concerned, besides: number, in: transaction)
            let changed = try known.applying(change, hosts: hosts, now: now)
            try await Self.checkingName(changed.name) {
                _ = try await transaction.pipeline([
                    """
                    update directory.aggregates set name = \(changed.name), metadata = \(PostgresJSON(changed.metadata)),
                        updated_at = \(now)
                    where number = \(number)
                    """,
                    Self.move(concerned, to: changed, from: known),
                    Self.rezone(concerned),
                ])
            }
            return changed
        }
    }

    package func deleteAggregate(_ number: Int64) async throws {
        try await pool.transaction { transaction in
            let known = try await Self.lock(number, in: transaction)
            guard known.hosts.isEmpty else { throw AggregateError.notEmpty }
            try await transaction.execute("delete from directory.aggregates where number = \(number)")
        }
    }

    // MARK: Steps

    private static let zone = "(g.metadata ->> '\(Aggregate.zoneKey)')"

    /// One change at a time, and none while servers are being placed: so what is known of hosts stays true, and what is
    /// placed later sees the change.
    private static func lock(_ number: Int64, in transaction: PostgresTransaction) async throws -> Aggregate {
        let answers = try await transaction.pipeline([
            "select pg_advisory_xact_lock(hashtextextended(\(placementGate), 0))",
            aggregates(where: "g.number = \(number)"),
        ])
        guard let row = answers.last?.first else { throw AggregateError.notFound(number) }
        return try aggregate(row)
    }

    private static func hosts(
        _ names: [HostName], besides number: Int64, in transaction: PostgresTransaction
    ) async throws -> [HostName: AggregateHost] {
        guard !names.isEmpty else { return [:] }
        let rows = try await transaction.query(
            """
            select h.name, h.availability_zone,
                array(select distinct \(raw: zone) from directory.aggregates g
                    where g.number = any(h.aggregates) and g.number <> \(number) and \(raw: zone) is not null) as zones,
                (select count(distinct a.consumer_id) from placement.allocations a
                    where a.provider_id = h.id) as servers
            from directory.hosts h where h.name = any(\(names.map(\.text))) order by h.name for update of h
            """)
        return try rows.reduce(into: [:]) { hosts, row in
            hosts[HostName(try row.get("name"))] = AggregateHost(
                configuredZone: try row.get("availability_zone"), otherZones: try row.get("zones"),
                servers: try row.get("servers"))
        }
    }

    private static func move(_ names: [HostName], to changed: Aggregate, from known: Aggregate) -> Statement {
        let joining = names.filter { changed.hosts.contains($0) && !known.hosts.contains($0) }.map(\.text)
        let leaving = names.filter { known.hosts.contains($0) && !changed.hosts.contains($0) }.map(\.text)
        return """
            update directory.hosts h set aggregates = case when h.name = any(\(joining))
                then array_append(h.aggregates, \(known.number)) else array_remove(h.aggregates, \(known.number)) end
            where h.name = any(\(joining + leaving))
            """
    }

    private static func rezone(_ names: [HostName]) -> Statement {
        """
        update directory.hosts h set aggregate_zone = (select min(\(raw: zone))
            from directory.aggregates g where g.number = any(h.aggregates))
        where h.name = any(\(names.map(\.text)))
        """
    }

    private static func aggregates(where condition: Statement) -> Statement {
        """
        select g.number, g.id, g.name, g.metadata, g.created_at, g.updated_at,
            array(select h.name from directory.hosts h
                where h.aggregates <> '{}' and h.aggregates @> array[g.number] order by h.name) as hosts
        from directory.aggregates g where \(fragment: condition) order by g.number
        """
    }

    private static func aggregate(_ row: Row) throws -> Aggregate {
        let hosts: [String] = try row.get("hosts")
        return Aggregate(
            number: try row.get("number"), id: try row.get("id"), name: try row.get("name"),
            metadata: try row.json("metadata"), hosts: hosts.map { HostName($0) }.sorted(),
            createdAt: try row.get("created_at"), updatedAt: try row.get("updated_at"))
    }

    private static func checkingName<Value>(
        _ name: String, _ body: () async throws -> Value
    ) async throws -> Value {
        do {
            return try await body()
        } catch let error as PostgresError where error.constraint == "aggregates_name" {
            throw AggregateError.nameTaken(name)
        }
    }
}
