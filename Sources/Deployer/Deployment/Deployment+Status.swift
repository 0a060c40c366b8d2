import Primitives
import Topology

/// Looks at a cloud that may be half dead, within a bound.
extension Deployment {
    /// A look at the hosts: connecting takes at most 20 s each, side by side, then one script a host.
    static let surveyLimit = Duration.seconds(45)
    /// Everything that the cells API is asked.
    static let cellsLimit = Duration.seconds(8)
    /// Clouds with more hosts than this show none singly.
    static let shownHosts = 1000

    /// Both sides at once; what does not answer within its bound is missing, with the reason.
    package func status() async -> CloudStatus {
        async let survey = boundedSurvey()
        async let tree = boundedTree()
        return CloudStatus(topology: settings.topology, survey: await survey, cells: await tree)
    }

    /// How the cloud is, again and again: cells every `interval`, hosts every `surveyInterval`, until cancelled.
    package func watchStatus(
        every interval: Duration, surveyEvery surveyInterval: Duration,
        _ show: @escaping @Sendable (CloudStatus) async throws -> Void
    ) async throws {
        let latest = Latest()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while true {
                    await latest.set(await boundedSurvey())
                    try await ContinuousClock().sleep(for: surveyInterval)
                }
            }
            group.addTask {
                while true {
                    let tree = await boundedTree()
                    try Task.checkCancellation()
                    try await show(
                        CloudStatus(topology: settings.topology, survey: await latest.survey, cells: tree))
                    try await ContinuousClock().sleep(for: interval)
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// The newest look at the hosts.
    private actor Latest {
        private(set) var survey: Result<Survey, CloudStatus.Missing> = .failure(.init("the first look is under way"))
        func set(_ survey: Result<Survey, CloudStatus.Missing>) { self.survey = survey }
    }

    private func boundedSurvey() async -> Result<Survey, CloudStatus.Missing> {
        await bounded(Self.surveyLimit) { try await survey() }
    }

    private func boundedTree() async -> Result<CloudStatus.Tree, CloudStatus.Missing> {
        await bounded(Self.cellsLimit) {
            let client = try await cells()
            let cells = try await client.cells()
            let isSmall = cells.reduce(0) { $0 + $1.hosts.total } <= Self.shownHosts
            return CloudStatus.Tree(cells: cells, hosts: isSmall ? try await client.hosts() : [])
        }
    }

    private func bounded<Value: Sendable>(
        _ limit: Duration, _ body: @escaping @Sendable () async throws -> Value
    ) async -> Result<Value, CloudStatus.Missing> {
        do {
            return .success(
                try await withDeadline(limit) {
                    try await body()
                } orElse: {
                    CellsFailure.failed("no answer within \(limit.components.seconds) s")
                })
        } catch {
            return .failure(CloudStatus.Missing(ErrorChain(error).description))
        }
    }
}
