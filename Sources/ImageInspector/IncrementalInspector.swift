/// Inspects an image while it streams by, holding no more than ``ImageInspector/windowByteCount`` bytes of it.
///
///     var inspector = IncrementalInspector(declared: .qcow2)
///     for try await chunk in body { try inspector.feed(chunk.readableBytesView) ... }
///     let inspection = try inspector.finish()
///
/// However the image is cut into chunks, it accepts just what ``ImageInspector/inspect(_:declared:)`` accepts.
package struct IncrementalInspector: Sendable {
    private let inspector: ImageInspector
    private let declared: DiskFormat?
    private var head = ByteWindow()
    private var tail: [UInt8] = []
    /// How many bytes went by.
    package private(set) var byteCount: UInt64 = 0

    /// - Parameter declared: what the owner says it is; `nil` accepts either accepted format.
    package init(declared: DiskFormat?, limits: ImageLimits = ImageLimits()) {
        inspector = ImageInspector(limits: limits)
        self.declared = declared
    }

    /// Takes the next bytes.
    ///
    /// - Throws: as soon as it is known that the image will be refused, so that the rest need not be read.
    package mutating func feed(_ chunk: some RandomAccessCollection<UInt8>) throws(ImageInspectionError) {
        guard !chunk.isEmpty else { return }
        byteCount += UInt64(chunk.count)
        guard byteCount <= inspector.limits.fileSizeBytes else {
            throw .fileSizeOverLimit(byteCount, limit: inspector.limits.fileSizeBytes)
        }
        tail.append(contentsOf: chunk.suffix(FormatDetector.tailByteCount))
        tail.removeFirst(max(0, tail.count - FormatDetector.tailByteCount))

        let missing = ImageInspector.windowByteCount - head.count
        guard missing > 0 else { return }
        head.append(chunk.prefix(missing))
        if head.count == ImageInspector.windowByteCount {
            try inspector.foresee(head: head, declared: declared)
        }
    }

    /// The verdict on all that went by.
    package func finish() throws(ImageInspectionError) -> ImageInspection {
        try inspector.conclude(head: head, tail: ByteWindow(tail), fileSize: byteCount, declared: declared)
    }
}
