/// The header of a qcow2, versions 2 and 3, as QEMU's description of the format lays it out, with every field that could
/// make a reader go where it should not checked before it is used.
struct QCOW2Header: Sendable, Equatable {
    /// Bits of `incompatible_features`.
    private enum Feature {
        static let dirty: UInt64 = 1 << 0
        static let corrupt: UInt64 = 1 << 1
        static let externalData: UInt64 = 1 << 2
        static let compressionType: UInt64 = 1 << 3
        static let extendedL2: UInt64 = 1 << 4
        static let known = dirty | corrupt | externalData | compressionType | extendedL2
        /// Of `autoclear_features`: the external data file can be read as raw.
        static let autoclearRawExternal: UInt64 = 1 << 1
    }

    /// Types of header extensions that matter here.
    private enum Extension {
        static let end: UInt32 = 0
        static let backingFormat: UInt32 = 0xE279_2ACA
        static let externalDataFile: UInt32 = 0x4441_5441
        static let encryption: UInt32 = 0x0537_BE77
        static let countLimit = 32
    }

    /// QEMU's own bounds; an image beyond them would not open.
    private enum Bound {
        static let clusterBits: ClosedRange<UInt64> = 9...21
        static let l1TableBytes: UInt64 = 32 << 20
        static let refcountTableBytes: UInt64 = 8 << 20
        static let snapshots: UInt64 = 65_536
        static let refcountOrder: UInt64 = 6
        static let extendedL2ClusterBits: UInt64 = 14
    }

    static let baseLength = 72
    static let version3Length = 104
    /// The header with its extensions is some hundred bytes; more than this is refused.
    static let areaByteLimit = 65_536

    let virtualSizeBytes: UInt64
    let facts: QCOW2Facts
    private let l1TableEnd: UInt64
    private let refcountTableOffset: UInt64
    private let snapshotsOffset: UInt64?

    /// Parses and checks what can be checked without the file's size.
    init(_ window: ByteWindow) throws(ImageInspectionError) {
        let version = try Self.number(UInt32.self, window, at: 4)
        guard version == 2 || version == 3 else { throw .unsupportedVersion(version) }
        guard window.count >= (version == 2 ? Self.baseLength : Self.version3Length) else {
            throw .truncated(.headerArea)
        }
        guard try Self.number(UInt64.self, window, at: 8) == 0 else { throw .backingFile }
        guard try Self.number(UInt32.self, window, at: 32) == 0 else { throw .encrypted }

        let clusterBits = UInt64(try Self.number(UInt32.self, window, at: 20))
        try Self.check(.clusterBits, clusterBits, in: Bound.clusterBits)
        let clusterSize: UInt64 = 1 << clusterBits
        let features = try Features(window, version: version, clusterSize: clusterSize)
        if features.extendedL2 {
            try Self.check(.clusterBits, clusterBits, in: Bound.extendedL2ClusterBits...Bound.clusterBits.upperBound)
        }
        try Self.checkExtensions(window, from: features.headerLength, clusterSize: clusterSize)

        let tables = try Tables(window, clusterSize: clusterSize, extendedL2: features.extendedL2)
        virtualSizeBytes = tables.virtualSizeBytes
        l1TableEnd = tables.l1TableEnd
        refcountTableOffset = tables.refcountTableOffset
        snapshotsOffset = tables.snapshotsOffset
        facts = QCOW2Facts(
            version: Int(version), clusterSizeBytes: clusterSize, internalSnapshots: tables.snapshotCount,
            usesZstandard: features.zstandard, usesExtendedL2: features.extendedL2)
    }

    /// Checks what needs the file's size.
    func check(fileSize: UInt64) throws(ImageInspectionError) {
        guard l1TableEnd <= fileSize else { throw .truncated(.l1TableOffset) }
        guard refcountTableOffset < fileSize else { throw .truncated(.refcountTableOffset) }
        if let snapshotsOffset, snapshotsOffset >= fileSize { throw .truncated(.snapshotsOffset) }
    }

    private struct Features {
        var headerLength: Int
        var zstandard = false
        var extendedL2 = false

        init(_ window: ByteWindow, version: UInt32, clusterSize: UInt64) throws(ImageInspectionError) {
            guard version == 3 else {
                headerLength = QCOW2Header.baseLength
                return
            }
            let incompatible = try number(UInt64.self, window, at: 72)
            guard incompatible & ~Feature.known == 0 else {
                throw .unknownIncompatibleFeatures(incompatible & ~Feature.known)
            }
            guard incompatible & Feature.externalData == 0 else { throw .externalDataFile }
            guard incompatible & Feature.corrupt == 0 else { throw .markedCorrupt }
            let autoclear = try number(UInt64.self, window, at: 88)
            guard autoclear & Feature.autoclearRawExternal == 0 else { throw .externalDataFile }
            try check(.refcountOrder, UInt64(try number(UInt32.self, window, at: 96)), in: 0...Bound.refcountOrder)

            let length = UInt64(try number(UInt32.self, window, at: 100))
            let longest = min(clusterSize, UInt64(QCOW2Header.areaByteLimit))
            try check(.headerLength, length, in: UInt64(QCOW2Header.version3Length)...longest)
            guard length % 8 == 0 else { throw .misaligned(.headerLength, value: length) }
            headerLength = Int(length)

            extendedL2 = incompatible & Feature.extendedL2 != 0
            // Without the field, compression is zlib (0); a value other than that needs its feature bit and vice versa.
            var compression: UInt64 = 0
            if length > UInt64(QCOW2Header.version3Length) {
                guard let type = window.byte(at: QCOW2Header.version3Length) else { throw .truncated(.compressionType) }
                compression = UInt64(type)
            }
            let hasType = incompatible & Feature.compressionType != 0
            try check(.compressionType, compression, in: hasType ? 1...1 : 0...0)
            zstandard = hasType
        }
    }

    private struct Tables {
        var virtualSizeBytes: UInt64
        var l1TableEnd: UInt64
        var refcountTableOffset: UInt64
        var snapshotCount: Int
        var snapshotsOffset: UInt64?

        init(_ window: ByteWindow, clusterSize: UInt64, extendedL2: Bool) throws(ImageInspectionError) {
            virtualSizeBytes = try number(UInt64.self, window, at: 24)
            guard virtualSizeBytes > 0 else { throw .virtualSizeZero }

            // One L1 entry stands for one cluster full of L2 entries; fewer than the disk needs is a lie, more than the
            // bound is a table that no one should load.
            let bytesPerEntry = clusterSize * (clusterSize / (extendedL2 ? 16 : 8))
            let needed = (virtualSizeBytes - 1) / bytesPerEntry + 1
            let bound = Bound.l1TableBytes / 8
            guard needed <= bound else { throw .virtualSizeOverLimit(virtualSizeBytes, limit: bytesPerEntry * bound) }
            let entries = UInt64(try number(UInt32.self, window, at: 36))
            try check(.l1Size, entries, in: needed...bound)
            let l1Offset = try QCOW2Header.offset(.l1TableOffset, window, at: 40, clusterSize)
            l1TableEnd = l1Offset + entries * 8

            refcountTableOffset = try QCOW2Header.offset(.refcountTableOffset, window, at: 48, clusterSize)
            let clusters = UInt64(try number(UInt32.self, window, at: 56))
            try check(.refcountTableClusters, clusters, in: 1...max(1, Bound.refcountTableBytes / clusterSize))

            let snapshots = UInt64(try number(UInt32.self, window, at: 60))
            try check(.snapshotCount, snapshots, in: 0...Bound.snapshots)
            snapshotCount = Int(snapshots)
            snapshotsOffset =
                snapshots == 0 ? nil : try QCOW2Header.offset(.snapshotsOffset, window, at: 64, clusterSize)
        }
    }

    private static func checkExtensions(
        _ window: ByteWindow, from start: Int, clusterSize: UInt64
    ) throws(ImageInspectionError) {
        let end = Int(min(clusterSize, UInt64(areaByteLimit)))
        var position = start
        for _ in 0..<Extension.countLimit {
            // An extension area that fills the first cluster to its end needs no end mark.
            guard position <= end - 8 else { return }
            let type = try number(UInt32.self, window, at: position)
            let length = UInt64(try number(UInt32.self, window, at: position + 4))
            switch type {
            case Extension.end: return
            case Extension.backingFormat: throw .backingFile
            case Extension.externalDataFile: throw .externalDataFile
            case Extension.encryption: throw .encrypted
            default: break
            }
            try check(.extensionLength, length, in: 0...UInt64(end - position - 8))
            position += 8 + (Int(length) + 7) / 8 * 8
        }
        throw .outOfRange(
            .extensionCount, value: UInt64(Extension.countLimit) + 1, allowed: 0...UInt64(Extension.countLimit))
    }

    private static func number<Number: FixedWidthInteger & UnsignedInteger>(
        _ type: Number.Type, _ window: ByteWindow, at offset: Int
    ) throws(ImageInspectionError) -> Number {
        guard let value = window.bigEndian(type, at: offset) else { throw .truncated(.headerArea) }
        return value
    }

    private static func check(
        _ field: ImageInspectionError.Field, _ value: UInt64, in allowed: ClosedRange<UInt64>
    ) throws(ImageInspectionError) {
        guard allowed.contains(value) else { throw .outOfRange(field, value: value, allowed: allowed) }
    }

    /// The offset of a table: a cluster's start, not the header's own, and small enough to add to.
    private static func offset(
        _ field: ImageInspectionError.Field, _ window: ByteWindow, at position: Int, _ clusterSize: UInt64
    ) throws(ImageInspectionError) -> UInt64 {
        let value = try number(UInt64.self, window, at: position)
        guard value > 0, value % clusterSize == 0 else { throw .misaligned(field, value: value) }
        try check(field, value, in: clusterSize...(1 << 60))
        return value
    }
}
