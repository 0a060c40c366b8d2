/// Why an image is refused. Descriptions hold numbers and our own words only, so they may be shown to the image's owner.
package enum ImageInspectionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A header field by the name that QEMU's description of qcow2 gives it.
    package enum Field: String, Sendable {
        case clusterBits = "cluster_bits"
        case l1Size = "l1_size"
        case l1TableOffset = "l1_table_offset"
        case refcountTableOffset = "refcount_table_offset"
        case refcountTableClusters = "refcount_table_clusters"
        case snapshotCount = "nb_snapshots"
        case snapshotsOffset = "snapshots_offset"
        case refcountOrder = "refcount_order"
        case headerLength = "header_length"
        case compressionType = "compression_type"
        case extensionLength = "header extension length"
        case extensionCount = "number of header extensions"
        case headerArea = "header and its extensions"
    }

    case empty
    /// The file ends inside what its header promises.
    case truncated(Field)
    case declaredFormatDiffers(declared: DiskFormat, detected: DetectedFormat)
    /// Nothing was declared, and what was detected is not accepted.
    case unsupportedFormat(DetectedFormat)
    case unsupportedVersion(UInt32)
    case backingFile
    case externalDataFile
    case encrypted
    /// The image says of itself that its metadata are inconsistent.
    case markedCorrupt
    /// Bits that change the meaning of the image in a way that we do not know.
    case unknownIncompatibleFeatures(UInt64)
    case outOfRange(Field, value: UInt64, allowed: ClosedRange<UInt64>)
    /// An offset that is not a multiple of the cluster size, or is zero.
    case misaligned(Field, value: UInt64)
    case virtualSizeZero
    case virtualSizeOverLimit(UInt64, limit: UInt64)
    case fileSizeOverLimit(UInt64, limit: UInt64)

    package var description: String {
        switch self {
        case .empty: "the image is empty"
        case .truncated(let field): "the image ends before its \(field.rawValue) does"
        case .declaredFormatDiffers(let declared, let detected):
            "the image is declared as \(declared.rawValue) but looks like \(detected.rawValue)"
        case .unsupportedFormat(let detected): "images of the format \(detected.rawValue) are not accepted"
        case .unsupportedVersion(let version): "version \(version) of qcow2 is not known"
        case .backingFile: "a qcow2 image with a backing file is not accepted"
        case .externalDataFile: "a qcow2 image with an external data file is not accepted"
        case .encrypted: "an encrypted qcow2 image is not accepted"
        case .markedCorrupt: "the qcow2 image is marked as corrupt"
        case .unknownIncompatibleFeatures(let bits):
            "the qcow2 image needs features that are not known (bits 0x\(String(bits, radix: 16)))"
        case .outOfRange(let field, let value, let allowed):
            "\(field.rawValue) is \(value), must be \(allowed.lowerBound) to \(allowed.upperBound)"
        case .misaligned(let field, let value): "\(field.rawValue) is \(value), not the start of a cluster"
        case .virtualSizeZero: "the image's virtual size is zero"
        case .virtualSizeOverLimit(let size, let limit): "the image's virtual size is \(size) bytes, over \(limit)"
        case .fileSizeOverLimit(let size, let limit): "the image file is \(size) bytes or more, over \(limit)"
        }
    }
}
