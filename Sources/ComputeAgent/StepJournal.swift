package import CellProtocol
import CloudModel
package import FoundationEssentials
import Primitives
import Synchronization

/// What this host has done, one small file a server, so that a repeated command is answered and not done again.
///
/// A server's file outlives its guest for ``tombstoneAge``: a command that was delivered late can't raise the dead.
package final class StepJournal: Sendable {
    /// Finished steps remembered for one server; the oldest go first.
    package static let stepLimit = 32
    /// Seconds that the memory of a destroyed guest is kept: longer than any saga lives.
    package static let tombstoneAge: TimeInterval = 7 * 24 * 3600

    package struct Record: Codable, Sendable, Equatable {
        package struct Step: Codable, Sendable, Equatable {
            var key: StepKey
            var outcome: StepResult.Outcome
        }
        /// The newest build attempt that came here.
        package var epoch: Int
        package var isDestroyed: Bool
        /// The newest turn that was taken here: what belongs to an earlier one is over. Absent until one has a turn.
        package var turn: Int64?
        package var steps: [Step]
    }

    package enum Verdict: Equatable, Sendable {
        case perform
        case repeated(StepResult.Outcome)
        /// The command belongs to an attempt that is over.
        case stale
    }

    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    private let directory: String
    private let records: Mutex<[ServerID: Record]>

    /// - Throws: ``Failure`` when the directory can't be made or a file in it can't be read.
    package init(directory: String, now: Date) throws(Failure) {
        self.directory = directory
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            var found: [ServerID: Record] = [:]
            for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasSuffix(".json") {
                guard let id = ServerID(name.dropLast(5)) else { continue }
                let path = "\(directory)/\(name)"
                let record = try JSONDecoder().decode(Record.self, from: Data(contentsOf: URL(filePath: path)))
                let changed = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
                if record.isDestroyed, let changed, now.timeIntervalSince(changed) > Self.tombstoneAge {
                    try FileManager.default.removeItem(atPath: path)
                } else {
                    found[id] = record
                }
            }
            records = Mutex(found)
        } catch {
            throw Failure(description: "the step journal in \(directory) can't be read: \(error)")
        }
    }

    package func verdict(on command: AgentCommand) -> Verdict {
        records.withLock { records in
            guard let record = records[command.instanceID] else { return .perform }
            if let done = record.steps.last(where: { $0.key == command.key }) { return .repeated(done.outcome) }
            if command.epoch < record.epoch { return .stale }
            switch command.work {
            case .destroy, .release: return .perform
            case .spawn, .start, .stop, .reboot:
                if let turn = command.turn, let newest = record.turn, turn < newest { return .stale }
                return record.isDestroyed && command.epoch == record.epoch ? .stale : .perform
            }
        }
    }

    /// Remembers how a step ended, on disk before it returns.
    package func finish(_ command: AgentCommand, _ outcome: StepResult.Outcome) throws(Failure) {
        let record = records.withLock { records in
            var record = records[command.instanceID] ?? Record(epoch: command.epoch, isDestroyed: false, steps: [])
            record.epoch = max(record.epoch, command.epoch)
            if let turn = command.turn { record.turn = max(record.turn ?? turn, turn) }
            if case .succeeded = outcome, !command.work.isRelease { record.isDestroyed = command.work == .destroy }
            record.steps.append(.init(key: command.key, outcome: outcome))
            record.steps.removeFirst(max(0, record.steps.count - Self.stepLimit))
            records[command.instanceID] = record
            return record
        }
        do {
            let url = URL(filePath: "\(directory)/\(command.instanceID).json")
            try JSONEncoder().encode(record).write(to: url, options: .atomic)
        } catch {
            throw Failure(description: "the step journal can't be written: \(error)")
        }
    }
}

extension AgentWork {
    /// It changes nothing of the guest.
    fileprivate var isRelease: Bool {
        if case .release = self { true } else { false }
    }
}
