import Foundation
import Primitives

/// Inputs to begin with, checked in: `Tests/Fixtures/corpus/<target>/`.
package enum Corpus {
    package static func inputs(of target: FuzzTarget, file: String = #filePath) throws -> [(name: String, [UInt8])] {
        let folder = URL(filePath: file).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fixtures/corpus/\(target.rawValue)")
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { name in
            (name, Array(try Data(contentsOf: folder.appending(path: name))))
        }
    }
}

/// Spoils inputs as a fuzzer does, the same way for the same seed.
package struct Mutator: RandomNumberGenerator {
    /// Inputs that grow past it are cut (bytes).
    private static let sizeLimit = 300_000
    private static let signs: [UInt8] =
        Array("\0\t\n \"\\{}[]:,-+.eE0919aZ/*&%#!<>;$`'=\u{7f}".utf8) + [0x80, 0xC0, 0xFF]

    private var chance: SplitMix

    package init(seed: UInt64) { chance = SplitMix(seed: seed) }

    package mutating func next() -> UInt64 { chance.next() }

    /// `input` with one to eight places changed, some of them after what `others` have.
    package mutating func spoil(_ input: [UInt8], with others: [[UInt8]]) -> [UInt8] {
        var bytes = input
        for _ in 0..<number(1...8) { change(&bytes, with: others) }
        return Array(bytes.prefix(Self.sizeLimit))
    }

    private mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    private mutating func change(_ bytes: inout [UInt8], with others: [[UInt8]]) {
        guard !bytes.isEmpty else {
            bytes = [UInt8.random(in: 0...255, using: &self)]
            return
        }
        // Most of what matters stands at the beginning.
        let end = number(0...1) == 0 ? min(bytes.count, 160) : bytes.count
        let place = number(0...end - 1)
        let length = min(number(1...32), bytes.count - place)
        switch number(0...8) {
        case 0: bytes[place] = .random(in: 0...255, using: &self)
        case 1: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &self)
        case 2: bytes[place] = Self.signs[number(0...Self.signs.count - 1)]
        case 3: bytes.removeSubrange(place..<place + length)
        case 4: bytes.insert(contentsOf: bytes[place..<place + length], at: number(0...bytes.count))
        case 5: bytes.removeSubrange(place...)
        case 6: for index in place..<place + length { bytes[index] = number(0...1) == 0 ? 0 : 0xFF }
        case 7: bytes.insert(Self.signs[number(0...Self.signs.count - 1)], at: place)
        default:
            guard let other = others.randomElement(using: &self), !other.isEmpty else { return }
            let start = number(0...other.count - 1)
            let piece = other[start..<min(start + length, other.count)]
            bytes.replaceSubrange(place..<min(place + piece.count, bytes.count), with: piece)
        }
    }
}
