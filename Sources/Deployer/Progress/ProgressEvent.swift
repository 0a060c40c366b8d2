/// One thing that the tool did or is doing, as its user sees it. Never holds a secret.
package struct ProgressEvent: Codable, Sendable, Equatable {
    package enum Kind: String, Codable, Sendable {
        /// A stage of the run begins; `title` names it.
        case stage
        /// So many steps (`count`) of this cell or host are to come.
        case planned
        /// A step of a plan begins.
        case begun
        /// A slow step that is in no plan begins.
        case started
        /// A step ended well; `seconds` says how long it took.
        case done
        /// A step ended badly; `detail` says why.
        case failed
        /// A step was not tried; `detail` says why.
        case skipped
        /// Something worth knowing.
        case note
    }

    package var kind: Kind
    package var title: String
    package var host: String?
    package var cell: String?
    package var seconds: Double?
    package var detail: String?
    package var count: Int?

    package init(
        _ kind: Kind, _ title: String, host: String? = nil, cell: String? = nil, took: Duration? = nil,
        detail: String? = nil, count: Int? = nil
    ) {
        self.kind = kind
        self.title = title
        self.host = host
        self.cell = cell
        self.seconds = took.map { ($0 / .milliseconds(1)).rounded() / 1_000 }
        self.detail = detail
        self.count = count
    }
}

/// Where progress goes. Called from many tasks at once; must not block for long.
package protocol ProgressReporter: Sendable {
    func report(_ event: ProgressEvent)
}

extension ProgressReporter {
    /// Runs one step and reports its end, good or bad. `announced` steps report their beginning too.
    @discardableResult
    package func step<Result: Sendable>(
        _ title: String, host: String? = nil, cell: String? = nil, announced: Bool = false,
        clock: ContinuousClock = ContinuousClock(), _ body: () async throws -> Result
    ) async throws -> Result {
        if announced { report(ProgressEvent(.started, title, host: host, cell: cell)) }
        let start = clock.now
        do {
            let result = try await body()
            report(ProgressEvent(.done, title, host: host, cell: cell, took: clock.now - start))
            return result
        } catch {
            let took = clock.now - start
            let detail = error is CancellationError ? "cancelled" : String(describing: error)
            report(ProgressEvent(.failed, title, host: host, cell: cell, took: took, detail: detail))
            throw error
        }
    }
}
