package import CloudModel
import FoundationEssentials
import PostgresClient
import ServerLifecycle

extension PostgresRootStore: HostDirectory {
    package func hosts() async throws -> [HostUsage] {
        try await hosts(where: "true", limit: nil)
    }

    package func order(_ order: PlacementOrder, of host: HostName) async throws -> HostUsage? {
        // A host is opened after its cell has agreed, so its record may say so before the cell's event does.
        try await setOrder(
            """
            update directory.hosts set placement = \(order.state.rawValue), placement_reason = \(order.reason),
                placement_since = \(order.since), is_enabled = is_enabled or \(order.isOpen),
                record = case when \(order.isOpen) then record - 'disabledReason' || '{"isEnabled": true}'::jsonb
                    else record end
            where name = \(host.text)
            """)
        return try await self.host(host)
    }

    package func host(_ name: HostName) async throws -> HostUsage? {
        try await hosts(where: "h.name = \(name.text)", limit: 1).first
    }

    func hosts(where condition: Statement, limit: Int?) async throws -> [HostUsage] {
        let rows = try await pool.query(
            """
            select h.record, h.aggregate_zone, h.placement, h.placement_reason, h.placement_since,
                coalesce(sum(i.used) filter (where i.class = 'VCPU'), 0)::bigint as vcpus,
                coalesce(sum(i.used) filter (where i.class = 'MEMORY_MB'), 0)::bigint as memory,
                coalesce(sum(i.used) filter (where i.class = 'DISK_GB'), 0)::bigint as disk,
                (select count(*) from directory.instances s where s.host = h.name and s.deleted_at is null) as servers
            from directory.hosts h left join placement.inventories i on i.provider_id = h.id
            where \(fragment: condition) group by h.name order by h.name limit \(limit.map { Int64($0) })
            """)
        return try rows.map(Self.host)
    }

    /// The operator's word at the root counts, whether the host's cell has heard it or not; so do aggregates.
    private static func host(_ row: Row) throws -> HostUsage {
        var record: HostRecord = try row.document("record")
        record.availabilityZone = try row.get("aggregate_zone") ?? record.availabilityZone
        var order = PlacementOrder(
            record.isEnabled ? .enabled : .disabled, reason: record.disabledReason, since: record.updatedAt)
        let since: Date? = try row.get("placement_since")
        let state = PlacementOrder.State(rawValue: try row.get("placement")) ?? .disabled
        if let since, state != .enabled || record.isEnabled {
            order = PlacementOrder(state, reason: try row.get("placement_reason"), since: since)
        }
        record.isEnabled = order.isOpen
        record.disabledReason = order.isOpen ? nil : order.reason
        return HostUsage(
            record: record, vcpusUsed: try row.get("vcpus"), memoryMiBUsed: try row.get("memory"),
            diskGiBUsed: try row.get("disk"), servers: try row.get("servers"), order: order)
    }

    /// Waits for placements that have begun; those that begin later see the change.
    /// - Returns: whether there was something to change.
    @discardableResult
    func setOrder(_ change: Statement) async throws -> Bool {
        try await pool.transaction { transaction in
            _ = try await transaction.query(
                "select pg_advisory_xact_lock(hashtextextended(\(Self.placementGate), 0))")
            let changed = try await transaction.execute(change)
            _ = try await transaction.pipeline([Self.nudge(.cells), Self.nudge(.buildRequests)])
            return changed > 0
        }
    }
}
