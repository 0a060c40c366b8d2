package import Deployer
import Foundation
import Glibc
import Synchronization

/// A whole cloud of this test process alone: `cellwright dev` as a child, with the services that were built beside the
/// tests. Started by the first test that asks, and gone with this process, however that ends.
///
///     @Suite(.enabled(if: TestCloud.missing == nil, TestCloud.reason)) struct MyTests {
///         let cloud = try await TestCloud.shared()
///         cloud.ready.authURL, cloud.ready.cloudsFile
package final class TestCloud: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Executables of another build, a release build for instance; those beside the tests unless this is set.
    package static let binariesVariable = "CELLWRIGHT_BINARIES"
    /// The topology that clouds have unless another is named: two cells with two simulated hosts each.
    package static let topology = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/dev-simulated.yaml").path

    private static let readyLimit = Duration.seconds(180)
    private static let endLimit = Duration.seconds(180)
    private static let starts = Atomic<Int>(0)
    private static let running = Mutex<[TestCloud]>([])
    private static let instance = SharedStart()

    /// What the cloud said when everything answered.
    package let ready: DevReady
    /// What it says while it starts and runs.
    package let log: String
    private let child: ChildProcess
    private let input: Mutex<Int32?>

    private init(ready: DevReady, log: String, child: ChildProcess, input: Int32) {
        self.ready = ready
        self.log = log
        self.child = child
        self.input = Mutex(input)
    }

    /// Why there can be no cloud here; `nil` when there can.
    package static let missing: String? = {
        guard PrivatePostgres.isInstalled else { return PrivatePostgres.missing }
        guard access("/usr/lib/rabbitmq/bin/rabbitmq-server", X_OK) == 0 else { return "RabbitMQ is not installed" }
        let names = [
            "cellwright", "cellwright-api", "cellwright-supervisor", "cellwright-conductor", "cellwright-compute",
        ]
        guard names.allSatisfy({ access("\(binaries)/\($0)", X_OK) == 0 }) else {
            return "the executables are not in \(binaries); build them, or say where they are by \(binariesVariable)"
        }
        return nil
    }()

    /// The folder of our executables.
    package static let binaries: String = {
        if let folder = ProcessInfo.processInfo.environment[binariesVariable] { return folder }
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
        return URL(filePath: bundle).deletingLastPathComponent().path
    }()

    /// The cloud that this process's tests share.
    package static func shared() async throws -> TestCloud { try await instance.value() }

    /// Starts a cloud of the caller's own, which should end it.
    /// - Parameter environment: what our own processes find in theirs besides.
    package static func start(
        topology: String = topology, arguments: [String] = [], environment: [String: String] = [:]
    ) async throws -> TestCloud {
        if let missing { throw Failure(description: missing) }
        var template = Array("/tmp/cellwright-test-cloud-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw Failure(description: "no temporary folder: errno \(errno)") }
        let folder = String(cString: made)
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Failure(description: "pipe: errno \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        let log = "\(folder)/log"
        let child = try ChildProcess(
            environment.map { "\($0)=\($1)" } + [
                "/usr/bin/setsid", "\(binaries)/cellwright", "dev", topology, "--output", "json", "--while-stdin-open",
                "--folder", "\(folder)/cloud", "--first-port", String(firstPort()),
            ] + arguments, output: log, folder: "/", input: ends[0])
        do {
            let ready = try await waitUntilReady(log)
            let cloud = TestCloud(ready: ready, log: log, child: child, input: ends[1])
            let isFirst = running.withLock { running in
                running.append(cloud)
                return running.count == 1
            }
            if isFirst { atexit { TestCloud.endAll() } }
            return cloud
        } catch {
            close(ends[1])
            throw error
        }
    }

    /// Ends the cloud and waits until everything of it is gone.
    package func end() async { await BlockingWork.run { self.endNow() } }

    private func endNow() {
        guard let input = input.withLock({ $0.take() }) else { return }
        close(input)
        if child.wait(atMost: Self.endLimit) == nil {
            // Its own guard ends what is left.
            print("a cloud has not ended within \(Self.endLimit), and is killed: \(log)")
            kill(child.processID, SIGKILL)
            return
        }
        unlink(log)
        // After a SIGKILL of the tool its guard may need a moment more.
        let folder = URL(filePath: log).deletingLastPathComponent().path
        for _ in 0..<50 where rmdir(folder) != 0 { usleep(100_000) }
    }

    private static func endAll() {
        for cloud in running.withLock({ $0 }) { cloud.endNow() }
    }

    /// Clouds that start side by side, in this process or in others, look for ports at different places.
    private static func firstPort() -> Int {
        let start = starts.add(1, ordering: .relaxed).oldValue
        return DevOptions.defaultFirstPort + ((Int(getpid()) * 7 + start) % 100) * 100
    }

    private static func waitUntilReady(_ log: String) async throws -> DevReady {
        let clock = ContinuousClock()
        let end = clock.now.advanced(by: readyLimit)
        while clock.now < end {
            let text = FileManager.default.contents(atPath: log).map { String(decoding: $0, as: UTF8.self) } ?? ""
            let document = text.split(separator: "\n").last { $0.hasPrefix("{") }
            if let document, text.hasSuffix("\n") {
                if document.hasPrefix("{\"error\"") { throw Failure(description: text) }
                return try JSONDecoder().decode(DevReady.self, from: Data(document.utf8))
            }
            try await clock.sleep(for: .milliseconds(50))
        }
        throw Failure(description: "the cloud is not ready after \(readyLimit): \(log)")
    }
}

/// Starts one cloud however many ask for it at once.
private actor SharedStart {
    private enum State {
        case idle
        case starting([CheckedContinuation<TestCloud, any Error>])
        case done(Result<TestCloud, any Error>)
    }

    private var state = State.idle

    func value() async throws -> TestCloud {
        switch state {
        case .done(let result): return try result.get()
        case .starting(let waiting):
            return try await withCheckedThrowingContinuation { state = .starting(waiting + [$0]) }
        case .idle:
            state = .starting([])
            let result: Result<TestCloud, any Error>
            do { result = .success(try await TestCloud.start()) } catch { result = .failure(error) }
            if case .starting(let waiting) = state { for each in waiting { each.resume(with: result) } }
            state = .done(result)
            return try result.get()
        }
    }
}
