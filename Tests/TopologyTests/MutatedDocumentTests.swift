import Testing
import Topology

/// Files that somebody's editor, shell or disk has spoiled: cut, doubled, shuffled, sprinkled with signs of YAML.
@Suite("Spoilt topology files")
struct MutatedDocumentTests {
    private static let signs: [Unicode.Scalar] = [
        "\u{0}", "\t", "\n", " ", ":", "-", "[", "]", "{", "}", "&", "*", "!", "|", ">", "'", "\"", "%", "@", "`", "#",
        ",",
        "?", "~", "\u{85}", "\u{2028}", "\u{feff}", "\u{fffd}", "\u{10ffff}", "9", "z",
    ]

    @Test("none crashes the reader, and each refusal has places inside the file", arguments: 1..<9 as Range<UInt64>)
    func survive(_ seed: UInt64) throws {
        var numbers = SeededNumbers(seed: seed)
        let sources = [
            try RepositoryFiles.text("topology.yaml"), try RepositoryFiles.text("Tests/Fixtures/everything.yaml"),
            RandomTopology.text(seed: seed),
        ]
        for round in 0..<60 {
            var scalars = Array(try #require(sources.randomElement(using: &numbers)).unicodeScalars)
            for _ in 0..<Int.random(in: 1...4, using: &numbers) { Self.spoil(&scalars, using: &numbers) }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: scalars)
            let lines = text.count { ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains($0) } + 2
            do throws(InvalidTopology) {
                _ = try TopologyDocument.read(String(text), file: "t")
            } catch {
                #expect(!error.problems.isEmpty)
                for problem in error.problems {
                    #expect(
                        (1...lines).contains(problem.line) && problem.column >= 1,
                        "seed \(seed), round \(round): \(problem)")
                    #expect(!problem.message.isEmpty)
                }
            }
        }
    }

    private static func spoil(_ scalars: inout [Unicode.Scalar], using numbers: inout SeededNumbers) {
        guard !scalars.isEmpty else { return }
        let place = Int.random(in: 0..<scalars.count, using: &numbers)
        let length = min(Int.random(in: 1...40, using: &numbers), scalars.count - place)
        switch Int.random(in: 0..<6, using: &numbers) {
        case 0: scalars.removeSubrange(place..<place + length)
        case 1:
            scalars.insert(
                contentsOf: scalars[place..<place + length], at: Int.random(in: 0...scalars.count, using: &numbers))
        case 2: scalars[place] = signs[Int.random(in: 0..<signs.count, using: &numbers)]
        case 3: scalars.insert(signs[Int.random(in: 0..<signs.count, using: &numbers)], at: place)
        case 4: scalars.removeSubrange(place...)
        default: scalars.swapAt(place, Int.random(in: 0..<scalars.count, using: &numbers))
        }
    }
}
