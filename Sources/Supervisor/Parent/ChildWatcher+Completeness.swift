import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import Metrics
import Primitives
import ServerLifecycle

/// What the directory says of a cell, and what the cell says itself.
struct AuditDifference: Sendable, Equatable {
    var ours: DirectoryAudit
    var theirs: DirectoryAudit

    /// Whether the same rows differ: events may have come in between that changed nothing of them.
    func isSame(as other: AuditDifference) -> Bool {
        theirs.servers - ours.servers == other.theirs.servers - other.ours.servers && digest == other.digest
    }

    /// Of the rows that differ.
    private var digest: Int64 {
        let modulus = Int64(DirectoryAudit.modulus)
        return ((theirs.digest - ours.digest) % modulus + modulus) % modulus
    }
}

// The directory's completeness: what it has lost is read again from the cell, and what the cell does not know is said.
extension ChildWatcher {
    /// Servers that a line of the log names.
    private static let named = 10

    /// Between two batches of events, so that none of this process is applied beside it.
    func resyncOnce() async {
        isResyncWanted.withLock { $0 = false }
        do {
            let servers = try await readInventory()
            logger.notice("directory is read again", metadata: ["cell": "\(cell)", "servers": "\(servers)"])
        } catch {
            // Who keeps the mappings asks again while it is wanted.
            logger.warning(
                "directory can't be read again yet", metadata: ["cell": "\(cell)", "error": "\(ErrorChain(error))"])
        }
    }

    private func readInventory() async throws -> Int {
        let began = wallClock.now()
        let loss = try await store.knownLoss(of: cell)
        var known: Set<ServerID> = []
        var after: ServerID?
        var overtaken = 0
        while true {
            let page = try await router.send(InventoryRequest(after: after), to: cell, context: context())
            guard try await store.merge(page, from: cell) else {
                overtaken += 1
                guard overtaken < Self.overtakenLimit else {
                    throw CellFailure(message: "events overtook the inventory \(overtaken) times")
                }
                continue
            }
            known.formUnion(page.servers.map(\.id))
            after = page.servers.last?.id ?? after
            if page.isLast { break }
        }
        try await store.endResync(of: cell, loss: loss)
        try await tellMissing(besides: known, since: began)
        return known.count
    }

    /// Servers of which the cell knows nothing, such as those made after the backup that its database was restored from.
    /// Their users can delete them; nothing is proved that would let anybody else do so.
    private func tellMissing(besides known: Set<ServerID>, since began: Date) async throws {
        let missing = try await store.missing(of: cell, besides: known, createdBefore: began)
        Gauge(label: "cellwright_directory_rows_without_server", dimensions: [("cell", cell.description)])
            .record(missing.count)
        let difference = missing.isEmpty ? nil : try await difference()
        explained.withLock { $0 = difference }
        guard !missing.isEmpty else { return }
        logger.error(
            "a cell does not know servers that the directory has; they are left alone",
            metadata: [
                "cell": "\(cell)", "count": "\(missing.count)",
                "servers": "\(missing.prefix(Self.named).map(\.description).joined(separator: " "))",
            ])
    }

    func audit() async throws {
        while !Task.isCancelled {
            try await clock.sleep(for: settings.auditInterval)
            guard health.withLock({ $0.view.health }) != .down else { continue }
            do {
                guard try await isDifferent() else { continue }
                try await clock.sleep(for: Self.auditRepeat)
                guard try await isDifferent() else { continue }
                logger.warning("the directory does not say what the cell says", metadata: ["cell": "\(cell)"])
                try await store.noteLoss(of: cell, now: wallClock.now())
                resync()
            } catch is CancellationError {
                return
            } catch {
                logger.debug("not compared", metadata: ["cell": "\(cell)", "error": "\(ErrorChain(error))"])
            }
        }
    }

    /// In another way than is known and can't be helped.
    private func isDifferent() async throws -> Bool {
        guard let now = try await difference() else { return false }
        return explained.withLock { $0?.isSame(as: now) } != true
    }

    /// Only at the same sequence is there anything to compare.
    private func difference() async throws -> AuditDifference? {
        let theirs = try await router.send(AuditRequest(), to: cell, context: context())
        let ours = try await store.audit(of: cell)
        guard ours.sequence == theirs.sequence, ours != theirs else { return nil }
        return AuditDifference(ours: ours, theirs: theirs)
    }
}
