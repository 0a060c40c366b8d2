import CloudModel
import Dispatch
import FoundationEssentials
import HypervisorDriver
import Primitives
import Synchronization
import Testing

@testable import LibvirtDriver

@Suite struct VirtTypeTests {
    static let intel = "processor : 0\nflags\t\t: fpu vmx sse\n"
    static let amd = "flags : svm\n"
    static let neither = "vmx: yes\nflags : fpu hypervisor vmxnet\n"

    func choose(
        _ setting: VirtTypeSetting, _ cpuinfo: String, _ modules: Set<String>, offered: Bool = true
    ) -> VirtTypeChoice {
        VirtualisationFacts(cpuinfo: cpuinfo, isOffered: offered) { modules.contains($0) }.choose(setting)
    }

    @Test func takesKVMOnlyWhereEverythingSpeaksForIt() {
        #expect(choose(.auto, Self.intel, ["kvm", "kvm_intel"]).name == "kvm")
        #expect(choose(.auto, Self.amd, ["kvm_amd"]).name == "kvm")
    }

    @Test(
        arguments: [
            (neither, ["kvm_intel"], true, "neither vmx nor svm"), ("", [], true, "neither vmx nor svm"),
            (intel, ["kvm_intel", "kvm_pvm"], true, "paravirtual"), (intel, ["kvm_amd"], true, "not loaded"),
            (amd, [], true, "not loaded"), (amd, ["kvm_amd"], false, "libvirt offers no kvm"),
        ] as [(String, [String], Bool, String)])
    func emulatesOtherwiseAndSaysWhy(_ cpuinfo: String, _ modules: [String], _ offered: Bool, _ why: String) {
        let choice = choose(.auto, cpuinfo, Set(modules), offered: offered)
        #expect(choice.name == "qemu")
        #expect(choice.reason.contains(why))
    }

    @Test func obeysTheOperator() {
        #expect(choose(.kvm, Self.neither, []).name == "kvm")
        #expect(choose(.qemu, Self.intel, ["kvm_intel"]).name == "qemu")
        #expect(choose(.qemu, Self.intel, ["kvm_intel"]).reason == "set by the operator")
    }
}

@Suite struct WorkerPoolTests {
    @Test func runsAtMostItsThreadsAndRefusesBeyondItsQueue() async throws {
        let pool = WorkerPool(name: "test", threadLimit: 2, waitingLimit: 3)
        let gate = DispatchSemaphore(value: 0)
        let counts = Mutex((running: 0, most: 0, done: 0))
        let job: @Sendable () -> Void = {
            counts.withLock {
                $0.running += 1
                $0.most = max($0.most, $0.running)
            }
            gate.wait()
            counts.withLock {
                $0.running -= 1
                $0.done += 1
            }
        }
        let admissions = (0..<7).map { _ in pool.submit(job) }
        #expect(admissions == [.accepted, .accepted, .accepted, .accepted, .accepted, .full, .full])
        try await eventually("both threads run") { counts.withLock { $0.running } == 2 }
        for _ in 0..<5 { gate.signal() }
        try await eventually("all jobs ran") { counts.withLock { $0.done } == 5 }
        #expect(counts.withLock { $0.most } == 2)
        #expect(pool.submit { counts.withLock { $0.done += 1 } } == .accepted)
        try await eventually("it goes on") { counts.withLock { $0.done } == 6 }
        pool.stop()
        #expect(pool.submit {} == .stopped)
        pool.stop()
    }

    @Test func runsWhatItAcceptedBeforeItStops() async throws {
        let pool = WorkerPool(name: "test", threadLimit: 1, waitingLimit: 100)
        let done = Mutex(0)
        for _ in 0..<100 { #expect(pool.submit { done.withLock { $0 += 1 } } == .accepted) }
        pool.stop()
        try await eventually("all jobs ran") { done.withLock(\.self) == 100 }
    }
}

@Suite struct TicketTests {
    @Test func theFirstOutcomeCounts() async throws {
        let early = Ticket<Int>()
        #expect(early.isWanted)
        early.settle(.failure(.cancelled))
        early.settle(.success(1))
        #expect(!early.isWanted)
        let answer = await withCheckedContinuation { early.wait(with: $0) }
        #expect(answer == .failure(.cancelled))

        let late = Ticket<Int>()
        let value = await withCheckedContinuation { continuation in
            late.wait(with: continuation)
            late.settle(.success(2))
            late.settle(.failure(.cancelled))
        }
        #expect(value == .success(2))
    }
}

@Suite struct LifecycleReporterTests {
    let stream: AsyncStream<GuestLifecycle>
    let sink: AsyncStream<GuestLifecycle>.Continuation
    let one = ServerID(UUID())
    let two = ServerID(UUID())

    init() { (stream, sink) = AsyncStream.makeStream() }

    func reported() async -> [GuestLifecycle] {
        sink.finish()
        return await stream.reduce(into: []) { $0.append($1) }
    }

    @Test func theFirstLookOnlyLearnsAndLaterOnesReportDifferences() async throws {
        let reporter = LifecycleReporter(sink: sink)
        try reporter.look(isFirst: true) { [one: .running, two: .shutdown] }
        try reporter.look(isFirst: false) { [one: .running, two: .shutdown] }
        reporter.event(two, .running)
        try reporter.look(isFirst: false) { [one: .shutdown, two: .running] }
        #expect(
            await reported() == [GuestLifecycle(id: two, power: .running), GuestLifecycle(id: one, power: .shutdown)])
    }

    @Test func anEventIsNewerThanTheLookThatItFallsInto() async throws {
        let reporter = LifecycleReporter(sink: sink)
        try reporter.look(isFirst: true) { [one: .running] }
        try reporter.look(isFirst: false) {
            reporter.event(one, .shutdown)
            return [one: .running]
        }
        #expect(await reported() == [GuestLifecycle(id: one, power: .shutdown)])
    }

    @Test func aGuestThatWasForgottenIsNewWhenItComesBack() async throws {
        let reporter = LifecycleReporter(sink: sink)
        reporter.event(one, .running)
        reporter.event(one, nil)
        try reporter.look(isFirst: false) { [:] }
        try reporter.look(isFirst: false) { [one: .running] }
        try reporter.look(isFirst: false) { [:] }
        try reporter.look(isFirst: false) { [one: .running] }
        #expect(
            await reported() == [GuestLifecycle](repeating: GuestLifecycle(id: one, power: .running), count: 3))
    }

    @Test func aLookThatFailsChangesNothing() async throws {
        let reporter = LifecycleReporter(sink: sink)
        #expect(throws: HypervisorError.disconnected("x")) {
            try reporter.look(isFirst: false) { () throws(HypervisorError) in throw .disconnected("x") }
        }
        #expect(await reported().isEmpty)
    }
}

@Suite struct PowerStateTests {
    @Test func aGuestThatIsBeingStartedIsNotPaused() {
        let paused: Int32 = 3
        let byUser: Int32 = 1
        let startingUp: Int32 = 11
        #expect(PowerState(domainState: paused, reason: byUser) == .paused)
        #expect(PowerState(domainState: paused, reason: startingUp) == .shutdown)
        #expect(PowerState(domainState: 1, reason: startingUp) == .running)
    }
}

@Suite struct ConsoleLogFileTests {
    @Test func readsTheEnd() throws {
        let path = FileManager.default.temporaryDirectory.path() + "cellwright-console-\(UUID())"
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(try ConsoleLogFile.tail(path, byteLimit: 10) == [])
        try Data("hello\nworld\n".utf8).write(to: URL(filePath: path))
        #expect(try ConsoleLogFile.tail(path, byteLimit: 6) == Array("world\n".utf8))
        #expect(try ConsoleLogFile.tail(path, byteLimit: 100) == Array("hello\nworld\n".utf8))
        #expect(try ConsoleLogFile.tail(path, byteLimit: 0) == [])
        #expect(try ConsoleLogFile.tail(path, byteLimit: -5) == [])
    }

    @Test func aFolderIsNoLog() {
        #expect(throws: HypervisorError.self) { try ConsoleLogFile.tail("/proc", byteLimit: 10) }
    }
}
