import Synchronization
import Testing

@testable import Deployer

@Suite struct ProgressTests {
    /// A clock that is ten seconds on whenever it is looked at.
    private func progress() -> LiveProgress {
        let seconds = Mutex(0)
        return LiveProgress {
            seconds.withLock {
                $0 += 10
                return .seconds($0)
            }
        }
    }

    private func event(_ kind: ProgressEvent.Kind, _ title: String, cell: String, count: Int? = nil) -> ProgressEvent {
        ProgressEvent(kind, title, cell: cell, count: count)
    }

    @Test func aCellAtWorkHasALineWithItsStepsAndTheWholeAnEstimate() {
        var progress = progress()
        #expect(progress.note(event(.planned, "8 steps", cell: "/north", count: 8)) == nil)
        #expect(progress.note(event(.planned, "2 steps", cell: "/south", count: 2)) == nil)
        for number in 1...5 {
            _ = progress.note(event(.begun, "step \(number)", cell: "/north"))
            #expect(progress.note(event(.done, "step \(number)", cell: "/north")) == nil, "it is in the lines")
        }
        _ = progress.note(event(.begun, "step 6", cell: "/north"))
        #expect(
            progress.lines(limit: 2) == [
                "  /north           [############........] 5/8  step 6",
                "  /south           [....................] 0/2", "  5 of 10 steps, about 10 s left",
            ])
    }

    @Test func whatFailedIsToldForGoodAndACellThatIsDoneHasNoLine() {
        var progress = progress()
        _ = progress.note(event(.planned, "1 step", cell: "/north", count: 1))
        _ = progress.note(event(.begun, "write", cell: "/north"))
        #expect(progress.note(event(.failed, "write", cell: "/north")) == "  FAILED  /north: write")
        #expect(progress.lines(limit: 2) == [])
    }

    @Test func moreCellsThanLinesAreCounted() {
        var progress = progress()
        for number in 1...5 { _ = progress.note(event(.planned, "2 steps", cell: "/c\(number)", count: 2)) }
        #expect(progress.lines(limit: 2).count == 4)
        #expect(progress.lines(limit: 2)[2] == "  and 3 more")
    }

    @Test func linesThatStayAreReplaced() {
        let output = Mutex("")
        let reporter = LiveReporter(width: 30) { text in output.withLock { $0 = text } }
        reporter.report(event(.planned, "2 steps", cell: "/north", count: 2))
        reporter.report(ProgressEvent(.note, "hello"))
        let shown = output.withLock { $0 }
        #expect(shown.hasPrefix("\u{1b}[2A\u{1b}[J      hello\n  /north"))
        #expect(shown.split(separator: "\n").allSatisfy { $0.count < 40 })
    }
}
