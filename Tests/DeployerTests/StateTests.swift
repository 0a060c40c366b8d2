import FoundationEssentials
import Testing

@testable import Deployer

@Suite struct StateTests {
    private let time = Date(timeIntervalSince1970: 1_800_000_000)

    @Test func aLockKeepsOthersOutAndNamesItsHolder() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/lock"
        do {
            let lock = try ExclusiveLock(path: path, command: "cellwright apply", now: time)
            do {
                _ = try ExclusiveLock(path: path, command: "cellwright destroy", now: time)
                Issue.record("the lock was given twice")
            } catch let held as ExclusiveLock.Held {
                #expect(held.holder?.command == "cellwright apply")
                #expect("\(held)".contains("process \(ProcessInfo.processInfo.processIdentifier)"))
            }
            _ = consume lock
        }
        // Released by its holder, so free again, with no file to remove by hand.
        _ = try ExclusiveLock(path: path, command: "cellwright destroy", now: time)
    }

    @Test func aJournalKeepsEveryEntryAndEndsALineThatACrashCutShort() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/journal"
        let entry = Journal.Entry(time: time, run: "r1", step: "file@a:/x", what: "write /x", outcome: .started)
        try Journal(path: path).append(entry)
        let half = try FileSystem.text(path) + "{\"time\":\"20"
        try PrivateFile.write(half, to: path)
        var second = entry
        second.outcome = .failed
        second.detail = "disk full"
        try Journal(path: path).append(second)
        #expect(try Journal.read(path) == [entry, second])
    }

    @Test func privateFilesAreReplacedWholeAndOnlyWhenTheyDiffer() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/secret"
        #expect(try PrivateFile.update("a", at: path))
        #expect(try !PrivateFile.update("a", at: path))
        #expect(try modeOf(path) == 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["secret"])
    }

    @Test func eventsReadAsLinesAndAsJSON() {
        let event = ProgressEvent(
            .done, "write /etc/x", host: "north-1", cell: "/north", took: .milliseconds(1_250))
        #expect(LineReporter.text(event) == "  ok  north-1 /north: write /etc/x (1.3 s)")
        #expect(
            LineReporter.json(event)
                == #"{"cell":"/north","host":"north-1","kind":"done","seconds":1.25,"title":"write /etc/x"}"#)
    }

    private func modeOf(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }
}
