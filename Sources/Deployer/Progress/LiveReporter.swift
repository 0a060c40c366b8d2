import FoundationEssentials
import Synchronization

/// Progress on a terminal: what happened scrolls up, and below it one line for each cell (or host, for what is of no cell)
/// that is at work stays and changes, then one of the whole with the time that is left.
package final class LiveReporter: ProgressReporter {
    /// Lines that stay at most; further places are counted only.
    static let placeLimit = 12

    private let write: @Sendable (String) -> Void
    private let state: Mutex<LiveProgress>
    private let width: Int

    /// - Parameters:
    ///   - width: columns of the terminal; longer lines are cut.
    ///   - clock: tells how long the rest may take.
    ///   - write: gets text with control sequences, to be written as it is.
    package init(
        width: Int, clock: ContinuousClock = ContinuousClock(), write: @escaping @Sendable (String) -> Void
    ) {
        self.width = width
        self.write = write
        let start = clock.now
        state = Mutex(LiveProgress { clock.now - start })
    }

    package func report(_ event: ProgressEvent) {
        state.withLock { state in
            let erased = Self.erase(state.shown)
            let scrolled = state.note(event).map { "\($0)\n" } ?? ""
            let lines = state.lines(limit: Self.placeLimit).map { String($0.prefix(width - 1)) }
            state.shown = lines.count
            write(erased + scrolled + lines.map { "\($0)\n" }.joined())
        }
    }

    /// Moves up over the lines that stay and clears all from there.
    private static func erase(_ lines: Int) -> String { lines == 0 ? "" : "\u{1b}[\(lines)A\u{1b}[J" }
}

/// What a ``LiveReporter`` knows: how many steps each place has, had and is at.
struct LiveProgress {
    private struct Place {
        var total = 0
        var done = 0
        var failed = 0
        var current: [String] = []
    }

    /// Lines on the screen now.
    var shown = 0
    private let elapsed: @Sendable () -> Duration
    private var places: [String: Place] = [:]
    private var order: [String] = []
    private var began: Duration?
    /// Whether the steps that are to come are known.
    private var isPlanned = false

    init(elapsed: @escaping @Sendable () -> Duration) { self.elapsed = elapsed }

    /// Takes an event in, and returns the line that it leaves behind for good, if any.
    mutating func note(_ event: ProgressEvent) -> String? {
        let name = event.cell ?? event.host ?? ""
        switch event.kind {
        case .planned:
            isPlanned = true
            began = elapsed()
            change(name) { $0.total += event.count ?? 1 }
            return nil
        case .begun:
            change(name) { $0.current.append(event.title) }
            return nil
        case .done:
            let wasPlanned = finish(name, event.title, failed: false)
            return wasPlanned ? nil : LineReporter.text(event)
        case .failed:
            _ = finish(name, event.title, failed: true)
            return LineReporter.text(event)
        case .skipped:
            change(name) { $0.total -= 1 }
            return LineReporter.text(event)
        case .stage:
            places = [:]
            order = []
            isPlanned = false
            return LineReporter.text(event)
        case .started, .note: return LineReporter.text(event)
        }
    }

    private mutating func change(_ name: String, _ body: (inout Place) -> Void) {
        if places[name] == nil { order.append(name) }
        body(&places[name, default: Place()])
    }

    private mutating func finish(_ name: String, _ title: String, failed: Bool) -> Bool {
        guard isPlanned, let index = places[name]?.current.firstIndex(of: title) else { return false }
        change(name) { place in
            place.current.remove(at: index)
            if failed { place.failed += 1 } else { place.done += 1 }
        }
        return true
    }

    /// The lines that stay: places at work, then the whole.
    func lines(limit: Int) -> [String] {
        guard isPlanned else { return [] }
        let all = order.compactMap { name in places[name].map { (name, $0) } }
        let open = all.filter { $0.1.done + $0.1.failed < $0.1.total }
        var lines = open.prefix(limit).map { name, place in
            let label = name.isEmpty ? "the cloud" : name
            let marks = Self.bar(place.done + place.failed, of: place.total)
            let current = place.current.first.map { "  \($0)" } ?? ""
            return "  \(label.padded(to: 16)) \(marks) \(place.done)/\(place.total)\(current)"
        }
        if open.count > limit { lines.append("  and \(open.count - limit) more") }
        let total = all.reduce(0) { $0 + $1.1.total }
        let done = all.reduce(0) { $0 + $1.1.done + $1.1.failed }
        if done < total { lines.append("  \(done) of \(total) steps\(left(done, of: total))") }
        return lines
    }

    /// How long the rest takes if it goes on as so far.
    private func left(_ done: Int, of total: Int) -> String {
        guard let began, done >= 5 else { return "" }
        let seconds = (elapsed() - began) / .seconds(1) / Double(done) * Double(total - done)
        return ", about \(Int(seconds.rounded(.up))) s left"
    }

    private static let barWidth = 20

    private static func bar(_ done: Int, of total: Int) -> String {
        let filled = total == 0 ? barWidth : barWidth * done / total
        return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: barWidth - filled) + "]"
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        count >= width ? self : self + String(repeating: " ", count: width - count)
    }
}
