import FoundationEssentials
import Synchronization

/// Sends the short scripts of one host together: while one call is under way, the next ones gather.
///
/// Whoever comes when there is no call makes one, for itself and all that wait. When it ends, the first of those that came
/// meanwhile makes the next.
final class ScriptBundles: Sendable {
    /// Scripts in one call.
    private static let limit = 64

    private enum Turn: Sendable {
        case ended(CommandResult)
        case yours
    }

    private struct Waiting: Sendable {
        let script: String
        let continuation: CheckedContinuation<Turn, any Error>
    }

    private struct State: Sendable {
        var isCalling = false
        var waiting: [Waiting] = []
    }

    private let state = Mutex(State())

    /// How many wait for the next call.
    var waiting: Int { state.withLock { $0.waiting.count } }

    /// - Parameter call: runs a script on the host.
    func run(_ script: String, _ call: (String) async throws -> CommandResult) async throws -> CommandResult {
        let turn = try await withCheckedThrowingContinuation { continuation in
            let isFree = state.withLock { state in
                if state.isCalling {
                    state.waiting.append(Waiting(script: script, continuation: continuation))
                    return false
                }
                state.isCalling = true
                return true
            }
            if isFree { continuation.resume(returning: .yours) }
        }
        if case .ended(let result) = turn { return result }
        let others = state.withLock { state in
            defer { state.waiting.removeFirst(min(state.waiting.count, Self.limit - 1)) }
            return state.waiting.prefix(Self.limit - 1)
        }
        defer { passOn() }
        do {
            let scripts = [script] + others.map(\.script)
            let results = Self.results(try await call(Self.bundle(scripts)), count: scripts.count)
            for (other, result) in zip(others, results.dropFirst()) {
                other.continuation.resume(returning: .ended(result))
            }
            return results[0]
        } catch {
            for other in others { other.continuation.resume(throwing: error) }
            throw error
        }
    }

    private func passOn() {
        let next = state.withLock { state -> Waiting? in
            state.isCalling = !state.waiting.isEmpty
            return state.waiting.isEmpty ? nil : state.waiting.removeFirst()
        }
        next?.continuation.resume(returning: .yours)
    }

    // MARK: What travels

    /// One script that runs these, each by itself, whatever became of those before it.
    static func bundle(_ scripts: [String]) -> String {
        guard scripts.count > 1 else { return scripts[0] }
        let parts = scripts.enumerated().map { "part_\($0.offset)() {\n\($0.element)\n}" }
        return parts.joined(separator: "\n") + """

            answers=$(mktemp -d)
            trap 'rm -rf "$answers"' EXIT
            for part in $(seq 0 \(scripts.count - 1)); do
              set +e
              ( set -eu; "part_$part" ) </dev/null >"$answers/out" 2>"$answers/err"
              status=$?
              set -e
              printf 'part\t%s\t%s\t%s\n' $status "$(base64 -w 0 <"$answers/out")" "$(base64 -w 0 <"$answers/err")"
            done
            """
    }

    /// What each of `count` scripts printed and ended with, from the answer to their ``bundle(_:)``.
    static func results(_ answer: CommandResult, count: Int) -> [CommandResult] {
        guard count > 1 else { return [answer] }
        var results = answer.standardOutput.lines.compactMap { line -> CommandResult? in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count == 4, fields[0] == "part", let status = Int32(fields[1]),
                let output = Data(base64Encoded: fields[2]), let error = Data(base64Encoded: fields[3])
            else { return nil }
            return CommandResult(
                status: status, standardOutput: String(decoding: output, as: UTF8.self),
                standardError: String(decoding: error, as: UTF8.self))
        }
        // Those that never ran: the call itself went wrong.
        while results.count < count {
            results.append(
                CommandResult(
                    status: answer.status == 0 ? 1 : answer.status, standardOutput: "",
                    standardError: answer.standardError))
        }
        return results
    }
}
