/// Which faults befall a cloud, in which order: the same for the same seed.
///
/// They come in volleys, whose faults overlap. Every kind of victim and every mode has its share.
struct FaultSchedule: Sendable {
    enum Victim: String, CaseIterable, Sendable {
        case api = "API"
        case supervisor, conductor, agent
        case broker = "RabbitMQ"
        case database = "PostgreSQL"
    }

    enum Mode: String, CaseIterable, Sendable {
        case killed, frozen, restarted
        case clockMoved = "clock moved"
        case diskFull = "disk full"

        /// What can befall every kind of process.
        static let common = [Mode.killed, .frozen, .restarted]
    }

    struct Fault: Sendable {
        var victim: Victim
        var mode: Mode
        /// Of the victim's processes, counted round.
        var number: Int
        /// After the volley's begin.
        var delay: Duration
        /// How long the frozen stand still, a clock is wrong, a disk full.
        var length: Duration
        /// By which a clock is moved.
        var seconds: Int32

        var name: String { "\(victim.rawValue) \(mode.rawValue)" }
    }

    let volleys: [[Fault]]

    /// The largest number of faults in a volley.
    private static let volleySize = 3
    /// Whose clock is moved, and whose disk is filled: the image store's, an agent's, a database's.
    private static let clocks: [(Victim, Mode)] = [.api, .supervisor, .conductor, .agent].map { ($0, .clockMoved) }
    private static let disks: [(Victim, Mode)] = [.agent, .api, .database].map { ($0, .diskFull) }
    private static let jumps: [Int32] = [-3600, -60, -8, 8, 60, 3600]

    /// - Parameters:
    ///   - longest: that anything is frozen, a clock is wrong, a disk full.
    ///   - fillsDisks: whether disks can be filled here.
    init(seed: UInt64, faults: Int, longest: Duration, fillsDisks: Bool) {
        var random = SeededRandom(seed: seed)
        var deck: [(Victim, Mode)] = []
        var round = 0
        while deck.count < faults {
            // A round has every victim once, each in a mode of its own, and some clocks and disks; three rounds have everything.
            let modes = Mode.common
            let victims = Victim.allCases.enumerated().map { index, victim in
                (victim, modes[(index + round) % modes.count])
            }
            let further = (Self.clocks + (fillsDisks ? Self.disks : [])).enumerated()
                .filter { $0.offset % modes.count == round % modes.count }.map(\.element)
            deck += (victims + further).shuffled(using: &random)
            round += 1
        }
        deck = Array(deck.prefix(faults))
        var volleys: [[Fault]] = []
        while !deck.isEmpty {
            let size = Int.random(in: 1...Self.volleySize, using: &random)
            var volley: [Fault] = []
            // One process is not frozen and killed at once.
            while volley.count < size, let next = deck.first, !volley.contains(where: { $0.victim == next.0 }) {
                deck.removeFirst()
                volley.append(
                    Fault(
                        victim: next.0, mode: next.1, number: Int.random(in: 0..<60, using: &random),
                        delay: .milliseconds(Int.random(in: 0...1500, using: &random)),
                        length: longest * Double.random(in: 0.2...1, using: &random),
                        seconds: Self.jumps.randomElement(using: &random) ?? 8))
            }
            volleys.append(volley)
        }
        self.volleys = volleys
    }
}

/// A small generator whose numbers are the same for the same seed on every machine.
struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
