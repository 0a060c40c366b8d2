package import CellProtocol
package import CloudModel
package import FoundationEssentials

/// What a live saga waits for: the command its host must carry out, repeated until the answer comes.
package struct Pursuit: Sendable, Equatable {
    package var saga: SagaID
    /// Under which its holder holds it.
    package var leaseEpoch: Int
    package var host: HostName
    package var input: SagaInput
    package var command: AgentCommand
    package var isUndo: Bool
    /// Not before: an attempt that repeats a failed one waits.
    package var notBefore: Date
    /// When the attempt has failed; nil when it may take for ever.
    package var deadline: Date?
    /// When a failure is told although its undo has not ended; nil when it was told or need not be.
    package var patienceEnds: Date?

    package init(
        saga: SagaID, leaseEpoch: Int, host: HostName, input: SagaInput, command: AgentCommand, isUndo: Bool,
        notBefore: Date,
        deadline: Date?, patienceEnds: Date?
    ) {
        self.saga = saga
        self.leaseEpoch = leaseEpoch
        self.host = host
        self.input = input
        self.command = command
        self.isUndo = isUndo
        self.notBefore = notBefore
        self.deadline = deadline
        self.patienceEnds = patienceEnds
    }
}
