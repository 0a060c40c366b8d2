@testable import ImageInspector

/// An image in memory.
struct MemoryImage: ImageSource {
    var bytes: [UInt8]
    var size: UInt64 { UInt64(bytes.count) }
    func read(at offset: UInt64, count: Int) -> [UInt8] {
        Array(bytes.dropFirst(Int(offset)).prefix(count))
    }
}

/// A qcow2 header and the tables that it names, each field free to be wrong.
struct HandMadeQCOW2 {
    var version: UInt32 = 3
    var backingFileOffset: UInt64 = 0
    var clusterBits: UInt32 = 16
    var virtualSize: UInt64 = 1 << 30
    var cryptMethod: UInt32 = 0
    var l1Size: UInt32 = 2
    var l1TableOffset: UInt64 = 0x30000
    var refcountTableOffset: UInt64 = 0x10000
    var refcountTableClusters: UInt32 = 1
    var snapshots: UInt32 = 0
    var snapshotsOffset: UInt64 = 0
    var incompatible: UInt64 = 0
    var autoclear: UInt64 = 0
    var refcountOrder: UInt32 = 4
    var headerLength: UInt32 = 112
    var compressionType: UInt8 = 0
    var extensions: [(type: UInt32, bytes: [UInt8])] = []
    var fileSize = 0x40000

    init(_ change: (inout HandMadeQCOW2) -> Void = { _ in }) { change(&self) }

    var bytes: [UInt8] {
        var header: [UInt8] = [0x51, 0x46, 0x49, 0xFB]
        func put(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.bigEndian) { header.append(contentsOf: $0) }
        }
        put(version)
        put(backingFileOffset)
        put(UInt32(0))
        put(clusterBits)
        put(virtualSize)
        put(cryptMethod)
        put(l1Size)
        put(l1TableOffset)
        put(refcountTableOffset)
        put(refcountTableClusters)
        put(snapshots)
        put(snapshotsOffset)
        if version >= 3 {
            put(incompatible)
            put(UInt64(0))
            put(autoclear)
            put(refcountOrder)
            put(headerLength)
            if headerLength > 104 { header += [compressionType, 0, 0, 0, 0, 0, 0, 0] }
        }
        for (type, bytes) in extensions {
            put(type)
            put(UInt32(bytes.count))
            header += bytes + [UInt8](repeating: 0, count: (8 - bytes.count % 8) % 8)
        }
        header += [UInt8](repeating: 0, count: max(0, fileSize - header.count))
        return Array(header.prefix(fileSize))
    }
}

/// Bytes with a mark somewhere.
func image(_ marks: [(offset: Int, bytes: [UInt8])], count: Int = 65_536) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    for (offset, mark) in marks { bytes.replaceSubrange(offset..<offset + mark.count, with: mark) }
    return bytes
}

/// A generator that gives the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// The verdict of the streaming form, for chunks of random sizes.
func stream(
    _ bytes: [UInt8], declared: DiskFormat?, limits: ImageLimits = ImageLimits(), using generator: inout SeededGenerator
) throws(ImageInspectionError) -> ImageInspection {
    var inspector = IncrementalInspector(declared: declared, limits: limits)
    var rest = bytes[...]
    while !rest.isEmpty {
        let chunk = rest.prefix(Int.random(in: 1...200_000, using: &generator))
        try inspector.feed(chunk)
        rest = rest.dropFirst(chunk.count)
    }
    return try inspector.finish()
}
