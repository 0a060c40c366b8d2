import CloudModel
import FoundationEssentials
import PostgresClient
package import ServerLifecycle

// What hangs on a server comes and goes in the transaction that accepts or ends it, so a leak takes damage from outside: a
// root or a cell whose database is of yesterday. The proofs see one moment each, and stand still while the directory says
// that rows of it are missing.
extension PostgresRootStore {
    package func reconcile() async throws -> Reconciliation {
        var found = Reconciliation()
        found.uses = try await reconcileUses()
        try await reconcileClaims(&found)
        found.members = try await pool.execute(
            """
            delete from scheduler.group_members m where \(raw: Self.isWhole) and \(raw: Self.isGone("m.instance_id"))
            """)
        found.ports = try await pool.transaction { try await ports.reconcile($0) }
        return found
    }

    static let isWhole = "not exists (select from directory.gaps)"

    /// There is no such server.
    /// - Parameter cast: what makes a server's id comparable with `id`.
    static func isGone(_ id: String, cast: String = "") -> String {
        """
        not exists (select from directory.instances s where s.id\(cast) = \(id) and s.deleted_at is null)
        and not exists (select from scheduler.build_requests b where b.instance_id\(cast) = \(id))
        """
    }

    private func reconcileUses() async throws -> Int {
        // One statement sees one moment: a server and its use come and go in one transaction.
        let rows = try await pool.query(
            """
            with gone as (
                delete from quota.uses u where \(raw: Self.isWhole) and not exists (
                    select from directory.instances i where i.id = u.instance_id and i.deleted_at is null)
                returning u.instance_id
            ), missing as (
                insert into quota.uses (instance_id, project_id, user_id, vcpus, memory_mib)
                select i.id, i.project_id, i.user_id, i.vcpus, i.memory_mib from directory.instances i
                where \(raw: Self.isWhole) and i.deleted_at is null
                    and not exists (select from quota.uses u where u.instance_id = i.id)
                on conflict do nothing returning instance_id
            ), wrong as (
                update quota.uses u set project_id = i.project_id, user_id = i.user_id, vcpus = i.vcpus,
                    memory_mib = i.memory_mib
                from directory.instances i
                where \(raw: Self.isWhole) and i.id = u.instance_id and i.deleted_at is null
                    and (u.project_id, u.user_id, u.vcpus, u.memory_mib)
                        is distinct from (i.project_id, i.user_id, i.vcpus, i.memory_mib)
                returning u.instance_id
            )
            select (select count(*) from gone) + (select count(*) from missing) + (select count(*) from wrong) as count
            """)
        return Int(try rows.first?.get("count", as: Int64.self) ?? 0)
    }

    // MARK: Claims

    /// Looks without a lock, and again under the locks of the hosts concerned.
    private func reconcileClaims(_ found: inout Reconciliation) async throws {
        let providers: [UUID] = try await pool.query(
            """
            select a.provider_id as id from (\(raw: Self.leftClaims)) a
            union select p.id from (\(raw: Self.unclaimed)) p
            union select w.provider_id from (\(raw: Self.wrongSums)) w
            """
        ).column()
        guard !providers.isEmpty else { return }
        let answers = try await pool.pipelineTransaction([
            "select 1 from placement.providers where id = any(\(providers)) order by id for update",
            """
            delete from placement.allocations d using (\(raw: Self.leftClaims)) a
            where d.consumer_id = a.consumer_id and d.provider_id = a.provider_id and d.provider_id = any(\(providers))
            returning d.consumer_id
            """,
            """
            insert into placement.allocations (consumer_id, provider_id, class, amount)
            select u.server, u.id, c.class, c.amount from (\(raw: Self.unclaimed)) u,
                lateral (values ('VCPU', u.vcpus), ('MEMORY_MB', u.memory_mib)) c (class, amount)
            where u.id = any(\(providers)) and c.amount > 0
            returning consumer_id
            """,
            """
            update placement.inventories i set used = w.claimed from (\(raw: Self.wrongSums)) w
            where i.provider_id = w.provider_id and i.class = w.class and i.provider_id = any(\(providers))
            returning i.provider_id
            """,
            "update placement.providers set generation = generation + 1 where id = any(\(providers))",
        ])
        found.leftClaims = Set(try answers[1].column(as: UUID.self)).count
        found.missingClaims = Set(try answers[2].column(as: UUID.self)).count
        found.inventories = answers[3].count
    }

    /// Claims of servers that are gone.
    private static let leftClaims = """
        select distinct c.consumer_id, c.provider_id from placement.allocations c
        where \(isWhole) and \(isGone("c.consumer_id"))
        """

    /// Servers that run on a host without a claim on it. What they have of its disk is not known here.
    private static let unclaimed = """
        select i.id as server, h.id, i.vcpus, i.memory_mib from directory.instances i
        join placement.providers h on h.name = i.host
        where \(isWhole) and i.deleted_at is null and i.vm_state not in ('building', 'error')
            and not exists (select from placement.allocations c where c.consumer_id = i.id)
            and not exists (select from scheduler.build_requests b where b.instance_id = i.id)
        """

    private static let wrongSums = """
        select n.provider_id, n.class, coalesce(c.claimed, 0) as claimed from placement.inventories n
        left join (select a.provider_id, a.class, sum(a.amount)::bigint as claimed
            from placement.allocations a group by a.provider_id, a.class) c
            on c.provider_id = n.provider_id and c.class = n.class
        where n.used <> coalesce(c.claimed, 0)
        """
}
