import CloudModel
import FoundationEssentials
import PostgresClient
package import ServerLifecycle

// Claims and ports whose server is gone. Everything of a server comes and goes in one transaction, so that one look sees
// either all of it or nothing; what is left over was made by hand, or by an error of ours.
extension PostgresRootStore {
    package func reconcileClaims() async throws -> RootMending {
        var mending = RootMending()
        mending.countersMended = try await mendCounters()
        let isIncomplete: Bool? = try await pool.query("select exists (select from directory.gaps)").scalar()
        guard isIncomplete == false else { return mending }
        mending.claimsReleased = try await releaseClaims()
        mending.portsReleased = try await releasePorts()
        let counts = try await pool.query(
            """
            select count(*) from directory.instances i
            where i.deleted_at is null and i.host is not null and i.vm_state not in ('building', 'error')
                and not exists (select from placement.allocations a where a.consumer_id = i.id)
            """)
        mending.unclaimed = Int(try counts.scalar(as: Int64.self) ?? 0)
        mending.strangePorts = try await ports.strange(pool)
        return mending
    }

    /// Of servers that have no row, and of builds that have no place.
    private func releaseClaims() async throws -> Int {
        try await pool.transaction { transaction in
            let lost: [ServerID] = try await transaction.query(
                """
                select distinct a.consumer_id from placement.allocations a
                where not exists (select from directory.instances i where i.id = a.consumer_id and i.deleted_at is null)
                    and not exists (select from scheduler.build_requests b where b.instance_id = a.consumer_id)
                limit \(RootMending.limit)
                """
            ).column()
            // The lock waits for a scheduler that is just claiming, and sees the request as it is then.
            let unplaced: [ServerID] = try await transaction.query(
                """
                select b.instance_id from scheduler.build_requests b where b.state in ('waiting', 'failed')
                    and exists (select from placement.allocations a where a.consumer_id = b.instance_id)
                order by b.instance_id limit \(RootMending.limit) for update of b
                """
            ).column()
            let claims = (lost + unplaced).sorted()
            if !claims.isEmpty {
                _ = try await transaction.pipeline(claims.map { "select placement.release(\($0))" })
            }
            return claims.count
        }
    }

    /// Counts are compared again under the locks that every claim takes.
    private func mendCounters() async throws -> Int {
        let suspects: [ProviderID] = try await pool.query(
            """
            select distinct i.provider_id from placement.inventories i
            where i.used <> (select coalesce(sum(a.amount), 0) from placement.allocations a
                where a.provider_id = i.provider_id and a.class = i.class)
            limit \(RootMending.limit)
            """
        ).column()
        guard !suspects.isEmpty else { return 0 }
        return try await pool.transaction { transaction in
            _ = try await transaction.query(
                "select from placement.providers where id = any(\(suspects)) order by id for update")
            let wrong: [ProviderID] = try await transaction.query(
                """
                with sums as (
                    select i.provider_id, i.class, coalesce(sum(a.amount), 0) as used
                    from placement.inventories i left join placement.allocations a
                        on a.provider_id = i.provider_id and a.class = i.class
                    where i.provider_id = any(\(suspects)) group by i.provider_id, i.class
                ), mended as (
                    update placement.inventories i set used = s.used from sums s
                    where i.provider_id = s.provider_id and i.class = s.class and i.used <> s.used
                    returning i.provider_id
                )
                update placement.providers p set generation = p.generation + 1
                where p.id in (select provider_id from mended) returning p.id
                """
            ).column()
            return wrong.count
        }
    }

    /// Of servers that the directory knows to be deleted.
    private func releasePorts() async throws -> Int {
        try await pool.transaction { transaction in
            let dead = try await ports.dead(RootMending.limit, transaction)
            for id in dead { try await ports.release(id, transaction) }
            return dead.count
        }
    }
}
