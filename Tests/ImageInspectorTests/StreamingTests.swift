import Testing

@testable import ImageInspector

@Suite struct StreamingTests {
    @Test func refusesBeforeTheImageIsWhole() throws {
        var inspector = IncrementalInspector(declared: .qcow2)
        let bytes = HandMadeQCOW2 {
            $0.backingFileOffset = 512
            $0.fileSize = 1 << 20
        }.bytes
        try inspector.feed(bytes.prefix(ImageInspector.windowByteCount - 1))
        #expect(throws: ImageInspectionError.backingFile) {
            try inspector.feed(bytes.dropFirst(ImageInspector.windowByteCount - 1).prefix(1))
        }
    }

    @Test func refusesAFileOverItsLimitAsSoonAsItIs() throws {
        let limits = ImageLimits(virtualSizeBytes: 1 << 20, fileSizeBytes: 1000)
        var inspector = IncrementalInspector(declared: .raw, limits: limits)
        try inspector.feed([UInt8](repeating: 0, count: 1000))
        #expect(throws: ImageInspectionError.fileSizeOverLimit(1001, limit: 1000)) { try inspector.feed([0]) }
        #expect(throws: ImageInspectionError.fileSizeOverLimit(1001, limit: 1000)) {
            try ImageInspector(limits: limits).inspect(MemoryImage(bytes: image([], count: 1001)), declared: .raw)
        }
    }

    @Test func refusesADiskOverItsLimit() {
        let limits = ImageLimits(virtualSizeBytes: 1 << 16)
        #expect(throws: ImageInspectionError.virtualSizeOverLimit(65_537, limit: 65_536)) {
            try ImageInspector(limits: limits).inspect(MemoryImage(bytes: image([], count: 65_537)), declared: .raw)
        }
        #expect(throws: ImageInspectionError.virtualSizeOverLimit(1 << 30, limit: 65_536)) {
            try ImageInspector(limits: limits).inspect(MemoryImage(bytes: HandMadeQCOW2().bytes), declared: nil)
        }
    }

    @Test func findsAFooterThatIsCutBetweenChunks() throws {
        let bytes = image([(1_000_000 - 512, Array("conectix".utf8))], count: 1_000_000)
        for cut in [1, 100, 506, 511, 512, 600] {
            var inspector = IncrementalInspector(declared: .raw)
            try inspector.feed(bytes.dropLast(cut))
            try inspector.feed(bytes.suffix(cut))
            #expect(throws: ImageInspectionError.declaredFormatDiffers(declared: .raw, detected: .vhd)) {
                try inspector.finish()
            }
        }
    }

    /// Valid headers with a few bytes changed, cut short or drowned in noise: any verdict will do, but there is one, and both
    /// forms agree about what is accepted.
    @Test(arguments: 0..<8) func neverCrashesAndAgreesWithItself(_ seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        var accepted = 0
        for _ in 0..<150 {
            let bytes = Self.garbage(&generator)
            let declared = [nil, DiskFormat.raw, .qcow2].randomElement(using: &generator) ?? nil
            let whole = Result { try ImageInspector().inspect(MemoryImage(bytes: bytes), declared: declared) }
            let chunks = Result { try stream(bytes, declared: declared, using: &generator) }
            switch (whole, chunks) {
            case (.success(let left), .success(let right)):
                #expect(left == right)
                accepted += 1
            case (.failure(let left), .failure): #expect(left is ImageInspectionError)
            case (.success, .failure), (.failure, .success): Issue.record("the two forms disagree, seed \(seed)")
            }
        }
        #expect(accepted > 0 && accepted < 150)
    }

    private static func garbage(_ generator: inout SeededGenerator) -> [UInt8] {
        switch Int.random(in: 0..<4, using: &generator) {
        case 0:
            return (0..<Int.random(in: 0...2000, using: &generator)).map { _ in .random(in: 0...255, using: &generator)
            }
        case 1:
            return Array(HandMadeQCOW2().bytes.prefix(Int.random(in: 0...300, using: &generator)))
        case 2:
            var look = looks.randomElement(using: &generator)?.bytes ?? []
            look = Array(look.prefix(Int.random(in: 0...look.count, using: &generator)))
            return look
        default:
            var bytes = HandMadeQCOW2 { $0.version = UInt32.random(in: 2...3, using: &generator) }.bytes
            for _ in 0..<Int.random(in: 0...6, using: &generator) {
                bytes[Int.random(in: 4..<160, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            return bytes
        }
    }
}
