/// What an accepted image is. Only ``ImageInspector`` and ``IncrementalInspector`` make one, so having one means that the
/// image passed every check.
package struct ImageInspection: Sendable, Equatable {
    package let format: DiskFormat
    /// The size of the disk that a guest would see, in bytes.
    package let virtualSizeBytes: UInt64
    /// The size of the image file, in bytes.
    package let fileSizeBytes: UInt64
    /// Of a raw image; a qcow2's content is not looked into.
    package let partitioning: Partitioning
    /// Facts of a qcow2.
    package let qcow2: QCOW2Facts?

    init(
        format: DiskFormat, virtualSizeBytes: UInt64, fileSizeBytes: UInt64, partitioning: Partitioning = .none,
        qcow2: QCOW2Facts? = nil
    ) {
        self.format = format
        self.virtualSizeBytes = virtualSizeBytes
        self.fileSizeBytes = fileSizeBytes
        self.partitioning = partitioning
        self.qcow2 = qcow2
    }
}

/// What a qcow2's header says beyond its size.
package struct QCOW2Facts: Sendable, Equatable {
    /// 2 or 3.
    package let version: Int
    package let clusterSizeBytes: UInt64
    package let internalSnapshots: Int
    package let usesZstandard: Bool
    package let usesExtendedL2: Bool
}

/// Bounds on what an image may claim.
package struct ImageLimits: Sendable, Equatable {
    /// The largest virtual disk, in bytes.
    package let virtualSizeBytes: UInt64
    /// The largest image file, in bytes.
    package let fileSizeBytes: UInt64

    /// Large enough for any flavor, small enough that sums of a few sizes never overflow: 64 TiB each.
    package static let defaultSizeBytes: UInt64 = 64 << 40

    /// - Precondition: both limits are positive and at most 2^60.
    package init(
        virtualSizeBytes: UInt64 = Self.defaultSizeBytes, fileSizeBytes: UInt64 = Self.defaultSizeBytes
    ) {
        precondition((1...(1 << 60)).contains(virtualSizeBytes), "a virtual size limit is 1 to 2^60 bytes")
        precondition((1...(1 << 60)).contains(fileSizeBytes), "a file size limit is 1 to 2^60 bytes")
        self.virtualSizeBytes = virtualSizeBytes
        self.fileSizeBytes = fileSizeBytes
    }
}
