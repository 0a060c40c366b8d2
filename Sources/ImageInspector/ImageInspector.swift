/// Where an image's bytes are read from.
package protocol ImageSource {
    /// The size in bytes.
    var size: UInt64 { get }
    /// The bytes from `offset`, at most `count`; fewer only where the image ends.
    func read(at offset: UInt64, count: Int) throws -> [UInt8]
}

/// Looks at an image before anything else opens it, and refuses what could make a hypervisor read other files, run away
/// with memory, or see another format than its owner declared.
///
/// It reads a bounded window at the start and some bytes at the end, never the content, and trusts no number in them.
/// Used by whoever is about to store an image (``IncrementalInspector`` for uploads) and, again, by whoever is about to
/// start a guest from one.
package struct ImageInspector: Sendable {
    /// How much of an image's start is kept, in bytes.
    package static let windowByteCount = 512 * 1024

    package let limits: ImageLimits

    package init(limits: ImageLimits = ImageLimits()) { self.limits = limits }

    /// Inspects a whole image.
    ///
    /// - Parameter declared: what its owner says it is; `nil` accepts either accepted format.
    /// - Throws: ``ImageInspectionError``, or what the source throws.
    package func inspect(_ source: some ImageSource, declared: DiskFormat?) throws -> ImageInspection {
        let size = source.size
        guard size <= limits.fileSizeBytes else {
            throw ImageInspectionError.fileSizeOverLimit(size, limit: limits.fileSizeBytes)
        }
        let head = try source.read(at: 0, count: Int(min(size, UInt64(Self.windowByteCount))))
        let tailCount = min(size, UInt64(FormatDetector.tailByteCount))
        let tail = try source.read(at: size - tailCount, count: Int(tailCount))
        return try conclude(head: ByteWindow(head), tail: ByteWindow(tail), fileSize: size, declared: declared)
    }

    /// What can be said when all of the image went by.
    func conclude(
        head: ByteWindow, tail: ByteWindow, fileSize: UInt64, declared: DiskFormat?
    ) throws(ImageInspectionError) -> ImageInspection {
        guard fileSize > 0 else { throw .empty }
        let detector = FormatDetector(head: head, tail: tail)
        switch try accepted(detector.detect(), declared: declared) {
        case .raw:
            try checkVirtualSize(fileSize)
            return ImageInspection(
                format: .raw, virtualSizeBytes: fileSize, fileSizeBytes: fileSize,
                partitioning: detector.partitioning())
        case .qcow2:
            let header = try QCOW2Header(head)
            try checkVirtualSize(header.virtualSizeBytes)
            try header.check(fileSize: fileSize)
            return ImageInspection(
                format: .qcow2, virtualSizeBytes: header.virtualSizeBytes, fileSizeBytes: fileSize, qcow2: header.facts)
        }
    }

    /// What can be said already when the window is full and more is to come.
    func foresee(head: ByteWindow, declared: DiskFormat?) throws(ImageInspectionError) {
        guard case .qcow2 = try accepted(FormatDetector(head: head, tail: nil).detect(), declared: declared) else {
            return
        }
        try checkVirtualSize(try QCOW2Header(head).virtualSizeBytes)
    }

    private func accepted(
        _ detected: DetectedFormat, declared: DiskFormat?
    ) throws(ImageInspectionError) -> DiskFormat {
        if let declared, detected.accepted != declared {
            throw .declaredFormatDiffers(declared: declared, detected: detected)
        }
        guard let format = detected.accepted else { throw .unsupportedFormat(detected) }
        return format
    }

    private func checkVirtualSize(_ size: UInt64) throws(ImageInspectionError) {
        guard size <= limits.virtualSizeBytes else {
            throw .virtualSizeOverLimit(size, limit: limits.virtualSizeBytes)
        }
    }
}
