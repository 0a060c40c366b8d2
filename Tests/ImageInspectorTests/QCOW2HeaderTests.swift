import Testing

@testable import ImageInspector

struct Refusal: Sendable, CustomTestStringConvertible {
    let name: String
    let error: ImageInspectionError
    let bytes: [UInt8]
    var testDescription: String { name }

    init(_ name: String, _ error: ImageInspectionError, _ change: (inout HandMadeQCOW2) -> Void) {
        self.name = name
        self.error = error
        bytes = HandMadeQCOW2(change).bytes
    }
}

let refusals: [Refusal] = [
    Refusal("backing file", .backingFile) { $0.backingFileOffset = 0x200 },
    Refusal("backing file in version 2", .backingFile) {
        $0.version = 2
        $0.backingFileOffset = 0x200
    },
    Refusal("backing format without a file", .backingFile) {
        $0.extensions = [(0xE279_2ACA, Array("raw".utf8))]
    },
    Refusal("external data file bit", .externalDataFile) { $0.incompatible = 1 << 2 },
    Refusal("external data file name after others", .externalDataFile) {
        $0.extensions = [(0x6803_F857, [UInt8](repeating: 7, count: 48)), (0x4441_5441, Array("/etc/shadow".utf8))]
    },
    Refusal("raw external data autoclear bit", .externalDataFile) { $0.autoclear = 2 },
    Refusal("AES", .encrypted) { $0.cryptMethod = 1 },
    Refusal("LUKS inside", .encrypted) { $0.cryptMethod = 2 },
    Refusal("encryption extension", .encrypted) {
        $0.extensions = [(0x0537_BE77, [UInt8](repeating: 0, count: 16))]
    },
    Refusal("corrupt bit", .markedCorrupt) { $0.incompatible = 2 },
    Refusal("unknown feature", .unknownIncompatibleFeatures(1 << 5)) { $0.incompatible = 1 << 5 | 1 },
    Refusal("highest feature", .unknownIncompatibleFeatures(1 << 63)) { $0.incompatible = 1 << 63 },
    Refusal("version 4", .unsupportedVersion(4)) { $0.version = 4 },
    Refusal("version 0", .unsupportedVersion(0)) { $0.version = 0 },
    Refusal("small clusters", .outOfRange(.clusterBits, value: 8, allowed: 9...21)) { $0.clusterBits = 8 },
    Refusal("large clusters", .outOfRange(.clusterBits, value: 22, allowed: 9...21)) { $0.clusterBits = 22 },
    Refusal("absurd clusters", .outOfRange(.clusterBits, value: 0xFFFF_FFFF, allowed: 9...21)) {
        $0.clusterBits = .max
    },
    Refusal("extended L2 with small clusters", .outOfRange(.clusterBits, value: 12, allowed: 14...21)) {
        $0.clusterBits = 12
        $0.incompatible = 1 << 4
    },
    Refusal("refcounts too wide", .outOfRange(.refcountOrder, value: 7, allowed: 0...6)) { $0.refcountOrder = 7 },
    Refusal("no refcount table", .misaligned(.refcountTableOffset, value: 0)) { $0.refcountTableOffset = 0 },
    Refusal("refcount table past the end", .truncated(.refcountTableOffset)) { $0.refcountTableOffset = 1 << 40 },
    Refusal("refcount table too large", .outOfRange(.refcountTableClusters, value: 129, allowed: 1...128)) {
        $0.refcountTableClusters = 129
    },
    Refusal("virtual size zero", .virtualSizeZero) { $0.virtualSize = 0 },
    Refusal("virtual size over the limit", .virtualSizeOverLimit(1 << 50, limit: 64 << 40)) {
        $0.virtualSize = 1 << 50
        $0.l1Size = 1 << 21
    },
    Refusal("virtual size beyond all tables", .virtualSizeOverLimit(.max, limit: 1 << 51)) { $0.virtualSize = .max },
    Refusal("L1 table too short for the disk", .outOfRange(.l1Size, value: 1, allowed: 2...(4 << 20))) {
        $0.l1Size = 1
    },
    Refusal("L1 table absurd", .outOfRange(.l1Size, value: 0xFFFF_FFFF, allowed: 2...(4 << 20))) { $0.l1Size = .max },
    Refusal("L1 table past the end", .truncated(.l1TableOffset)) { $0.l1Size = 0x10001 / 4 + 0x4000 },
    Refusal("L1 table in the header", .misaligned(.l1TableOffset, value: 0)) { $0.l1TableOffset = 0 },
    Refusal("L1 table off the grid", .misaligned(.l1TableOffset, value: 0x30008)) { $0.l1TableOffset = 0x30008 },
    Refusal(
        "L1 table at the end of numbers",
        .outOfRange(.l1TableOffset, value: 0xFFFF_FFFF_FFFF_0000, allowed: 0x10000...(1 << 60))
    ) { $0.l1TableOffset = 0xFFFF_FFFF_FFFF_0000 },
    Refusal("too many snapshots", .outOfRange(.snapshotCount, value: 65_537, allowed: 0...65_536)) {
        $0.snapshots = 65_537
    },
    Refusal("snapshots past the end", .truncated(.snapshotsOffset)) {
        $0.snapshots = 1
        $0.snapshotsOffset = 0x40000
    },
    Refusal("header too short", .outOfRange(.headerLength, value: 96, allowed: 104...65_536)) { $0.headerLength = 96 },
    Refusal("header too long", .outOfRange(.headerLength, value: 65_544, allowed: 104...65_536)) {
        $0.headerLength = 65_544
    },
    Refusal("header length off by one", .misaligned(.headerLength, value: 105)) { $0.headerLength = 105 },
    Refusal("compression type without its bit", .outOfRange(.compressionType, value: 1, allowed: 0...0)) {
        $0.compressionType = 1
    },
    Refusal("compression bit without a type", .outOfRange(.compressionType, value: 0, allowed: 1...1)) {
        $0.incompatible = 1 << 3
        $0.headerLength = 104
    },
    Refusal("unknown compression", .outOfRange(.compressionType, value: 2, allowed: 1...1)) {
        $0.incompatible = 1 << 3
        $0.compressionType = 2
    },
    Refusal("too many extensions", .outOfRange(.extensionCount, value: 33, allowed: 0...32)) {
        $0.extensions = (0..<40).map { _ in (0x1234, []) }
    },
    Refusal("header cut off", .truncated(.headerArea)) { $0.fileSize = 103 },
    Refusal("version 2 header cut off", .truncated(.headerArea)) {
        $0.version = 2
        $0.fileSize = 71
    },
]

@Suite struct QCOW2HeaderTests {
    @Test(arguments: refusals) func refuses(_ refusal: Refusal) {
        #expect(throws: refusal.error) {
            try ImageInspector().inspect(MemoryImage(bytes: refusal.bytes), declared: .qcow2)
        }
        var generator = SeededGenerator(state: 1)
        #expect(throws: refusal.error) {
            try stream(refusal.bytes, declared: .qcow2, using: &generator)
        }
        #expect(!refusal.error.description.isEmpty)
    }

    @Test func refusesAnExtensionLongerThanItsCluster() {
        var bytes = HandMadeQCOW2().bytes
        bytes.replaceSubrange(112..<120, with: [0x12, 0x34, 0x56, 0x78, 0xFF, 0xFF, 0xFF, 0xF0])
        #expect(throws: ImageInspectionError.outOfRange(.extensionLength, value: 0xFFFF_FFF0, allowed: 0...65_416)) {
            try ImageInspector().inspect(MemoryImage(bytes: bytes), declared: .qcow2)
        }
    }

    @Test func acceptsAPlainImage() throws {
        let inspection = try ImageInspector().inspect(MemoryImage(bytes: HandMadeQCOW2().bytes), declared: .qcow2)
        #expect(inspection.format == .qcow2)
        #expect(inspection.virtualSizeBytes == 1 << 30)
        #expect(inspection.fileSizeBytes == 0x40000)
        #expect(inspection.qcow2?.clusterSizeBytes == 65_536)
        #expect(inspection.qcow2?.version == 3)
    }

    @Test func acceptsVersion2AndDirtyAndExtendedAndZstandard() throws {
        let images = [
            HandMadeQCOW2 { $0.version = 2 },
            HandMadeQCOW2 { $0.incompatible = 1 },
            HandMadeQCOW2 {
                $0.incompatible = 1 << 4
                $0.l1Size = 4
            },
            HandMadeQCOW2 {
                $0.incompatible = 1 << 3
                $0.compressionType = 1
            },
            HandMadeQCOW2 { $0.extensions = [(0x6803_F857, [UInt8](repeating: 1, count: 384))] },
            HandMadeQCOW2 {
                $0.snapshots = 2
                $0.snapshotsOffset = 0x20000
            },
        ]
        let inspections = try images.map {
            try ImageInspector().inspect(MemoryImage(bytes: $0.bytes), declared: nil)
        }
        #expect(inspections.map { $0.qcow2?.version } == [2, 3, 3, 3, 3, 3])
        #expect(inspections.map { $0.qcow2?.usesExtendedL2 } == [false, false, true, false, false, false])
        #expect(inspections.map { $0.qcow2?.usesZstandard } == [false, false, false, true, false, false])
        #expect(inspections.map { $0.qcow2?.internalSnapshots } == [0, 0, 0, 0, 0, 2])
    }

    @Test func acceptsSmallClustersFilledWithExtensions() throws {
        // 112 bytes of header, 8 + 384 of one extension, 8 + 0 of another: 512, so no end mark fits.
        let image = HandMadeQCOW2 {
            $0.clusterBits = 9
            $0.virtualSize = 32_768
            $0.l1Size = 1
            $0.extensions = [(0x6803_F857, [UInt8](repeating: 1, count: 384)), (0x1234, [])]
        }
        let inspection = try ImageInspector().inspect(MemoryImage(bytes: image.bytes), declared: .qcow2)
        #expect(inspection.qcow2?.clusterSizeBytes == 512)
    }
}
