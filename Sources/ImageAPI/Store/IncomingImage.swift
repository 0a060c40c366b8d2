import CloudModel
import Crypto
import FoundationEssentials
import Glibc
import ImageInspector
import NIOCore
import Synchronization
import SystemPackage

/// Data of one image on its way to the disk: written, hashed and inspected piece by piece.
final class IncomingImage: Sendable {
    private struct State {
        var inspector: IncrementalInspector
        var md5 = Insecure.MD5()
        var sha512 = SHA512()
        var size: Int64 = 0
        var isOpen = true
    }

    /// The file's name in the store once it is whole.
    let name: String
    private let file: SystemPackage.FileDescriptor
    private let path: FilePath
    private let final: FilePath
    private let state: Mutex<State>

    /// - Parameter file: open for writing and closed by this object.
    init(
        file: SystemPackage.FileDescriptor, path: FilePath, final: FilePath, name: String, format: DiskFormat,
        limit: Int64
    ) {
        self.file = file
        self.path = path
        self.final = final
        self.name = name
        let limits = ImageLimits(fileSizeBytes: UInt64(limit))
        state = Mutex(State(inspector: IncrementalInspector(declared: format, limits: limits)))
    }

    deinit {
        if state.withLock(\.isOpen) { try? file.close() }  // nobody is left to hear of a failure
    }

    /// Takes the next piece, in order, one at a time.
    /// - Throws: `ImageInspectionError` as soon as the image will be refused, ``ImageStore/Failure`` from the disk.
    func append(_ piece: ByteBuffer) async throws {
        try await ImageStore.offPool("write") { [self] in
            try state.withLock { state in
                try state.inspector.feed(piece.readableBytesView)
                try piece.withUnsafeReadableBytes { bytes in
                    _ = try file.writeAll(bytes)
                    state.md5.update(bufferPointer: bytes)
                    state.sha512.update(bufferPointer: bytes)
                }
                state.size += Int64(piece.readableBytes)
            }
        }
    }

    /// The verdict; then everything is made to last, under the final name.
    func finish() async throws -> ImageContent {
        try await ImageStore.offPool("finish") { [self] in
            let content = try state.withLock { state -> ImageContent in
                let inspection = try state.inspector.finish()
                return ImageContent(
                    sizeBytes: state.size, virtualSizeBytes: Int64(clamping: inspection.virtualSizeBytes),
                    md5: Self.hexadecimal(state.md5.finalize()), sha512: Self.hexadecimal(state.sha512.finalize()),
                    file: name)
            }
            guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
            try close()
            guard rename(path.string, final.string) == 0 else { throw Errno(rawValue: errno) }
            let folder = try SystemPackage.FileDescriptor.open(
                final.removingLastComponent(), .readOnly, options: [.closeOnExec])
            defer { try? folder.close() }
            guard fsync(folder.rawValue) == 0 else { throw Errno(rawValue: errno) }
            return content
        }
    }

    /// Nothing of it stays.
    func discard() async throws {
        try await ImageStore.offPool("discard") { [self] in
            try? close()  // the file goes anyway
            try ImageStore.unlink(path)
            try ImageStore.unlink(final)
        }
    }

    private func close() throws {
        let isOpen = state.withLock { state in
            defer { state.isOpen = false }
            return state.isOpen
        }
        if isOpen { try file.close() }
    }

    private static func hexadecimal(_ digest: some Sequence<UInt8>) -> String {
        digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
