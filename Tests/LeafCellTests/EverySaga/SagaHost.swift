import CellProtocol
import CloudModel
import ComputeAgent
import Foundation
import HypervisorDriver
import Primitives

/// A host with an agent's own parts on a simulated hypervisor, which does to commands what a script says.
final class SagaHost {
    /// What becomes of one attempt.
    enum Answer: Sendable {
        case succeeds
        /// Nothing is done.
        case fails(permanent: Bool)
        /// It is done, and told as a failure: in part, as far as anybody knows.
        case failsLate(permanent: Bool)
        /// Nothing is done and nothing is said.
        case isSilent
        /// It is done, and the agent dies before it remembers or tells.
        case isDoneInSilence
    }

    struct Part: Hashable, CustomStringConvertible {
        var step: String
        var isUndo: Bool
        var description: String { isUndo ? "undo \(step)" : step }
    }

    let hypervisor: SimulatedHypervisor
    private let worker: GuestWorker
    private let folder: URL
    private var journal: StepJournal
    private var script: [Part: [Answer]] = [:]
    private var answered: [StepKey: Answer] = [:]
    /// Work that was really done, by key: more than once only when the agent lost its memory.
    private(set) var done: [StepKey: Int] = [:]
    /// Parts that were asked for.
    private(set) var asked: Set<Part> = []
    /// Whether the agent forgets everything after each command.
    var isForgetful = false

    init() throws {
        hypervisor = try SimulatedHypervisor(vcpus: 64, memoryMiB: 65_536, hostname: "host-1")
        worker = GuestWorker(
            driver: hypervisor, preparation: SimulatedGuestPreparation(diskGiB: 100), clock: ContinuousClock())
        folder = FileManager.default.temporaryDirectory.appending(path: "every-saga-\(UUID().uuidString)")
        journal = try StepJournal(directory: folder.appending(path: "0").path, now: testEpoch)
    }

    func close() throws { try FileManager.default.removeItem(at: folder) }

    /// From now on, attempts of a part get these answers in turn, and succeed when there are no more.
    func follow(_ script: [Part: [Answer]]) {
        self.script = script
        answered = [:]
        done = [:]
    }

    /// As the agent handles a command.
    /// - Returns: nil when it does not answer.
    func take(_ command: AgentCommand) async throws -> StepResult.Outcome? {
        defer { if isForgetful { forget() } }
        let part = Part(
            step: command.key.step.replacing(".undo", with: ""), isUndo: command.key.step.hasSuffix(".undo"))
        asked.insert(part)
        switch journal.verdict(on: command) {
        case .repeated(let earlier): return earlier
        case .stale: return .failed(reason: "Overtaken.", details: "stale", isPermanent: true)
        case .perform: break
        }
        let answer = answered[command.key] ?? next(part)
        answered[command.key] = answer
        let outcome: StepResult.Outcome
        switch answer {
        case .isSilent: return nil
        case .fails(let permanent): outcome = .failed(reason: "No.", details: "EIO", isPermanent: permanent)
        case .failsLate(let permanent):
            _ = try await work(command)
            outcome = .failed(reason: "No.", details: "late EIO", isPermanent: permanent)
        case .isDoneInSilence:
            // The same command finds the agent alive again.
            answered[command.key] = .succeeds
            _ = try await work(command)
            return nil
        case .succeeds: outcome = .succeeded(power: try await work(command))
        }
        try journal.finish(command, outcome)
        return outcome
    }

    private func work(_ command: AgentCommand) async throws -> PowerState {
        done[command.key, default: 0] += 1
        return try await worker.perform(command.work, on: command.instanceID)
    }

    private func next(_ part: Part) -> Answer {
        guard let first = script[part]?.first else { return .succeeds }
        script[part]?.removeFirst()
        return first
    }

    private var lives = 0

    private func forget() {
        lives += 1
        do {
            journal = try StepJournal(directory: folder.appending(path: "\(lives)").path, now: testEpoch)
        } catch {
            preconditionFailure("a test's folder can be made: \(error)")
        }
    }
}
