import CloudModel
import FoundationEssentials
import Glibc
import ImageInspector
import NIOCore
import NIOPosix
package import SystemPackage

/// Images' data as files in one folder, which all replicas share.
///
/// Data comes in under a name of its attempt and gets its final name when it is whole, checked and on the disk; so a file
/// with a final name is never half an image. Nothing here blocks the cooperative pool.
package struct ImageStore: Sendable {
    package struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
        let operation: String
        let errno: Errno
        package var description: String { "image store: \(operation): \(errno)" }

        /// Nothing more fits: the disk or the quota is full.
        var isFull: Bool { errno == .noSpace || errno == Errno(rawValue: EDQUOT) || errno == .fileTooLarge }
    }

    static let incomingSuffix = ".incoming"
    private static let folderMode: FilePermissions = [.ownerReadWriteExecute, .groupReadExecute]

    private let folder: FilePath

    /// Makes the folder if it is not there.
    /// - Throws: ``Failure``.
    package init(folder: FilePath) throws {
        self.folder = folder
        do {
            try Self.makeFolder(folder)
        } catch let error as Errno {
            throw Failure(operation: "can't make \(folder)", errno: error)
        }
    }

    private static func makeFolder(_ folder: FilePath) throws {
        if access(folder.string, R_OK | W_OK | X_OK) == 0 { return }
        guard mkdir(folder.string, folderMode.rawValue) == 0 || errno == EEXIST else {
            throw Errno(rawValue: errno)
        }
    }

    /// Opens a file for the data of one upload, which is meant to be of `format` and at most `limit` bytes.
    func create(_ upload: ImageUpload, format: DiskFormat, limit: Int64) async throws -> IncomingImage {
        let name = Self.name(of: upload)
        let path = folder.appending(name + Self.incomingSuffix)
        let final = folder.appending(name)
        return try await Self.offPool("create") {
            let file = try SystemPackage.FileDescriptor.open(
                path, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead])
            return IncomingImage(file: file, path: path, final: final, name: name, format: format, limit: limit)
        }
    }

    /// Opens the data of an image. The reader closes it.
    func open(_ name: String) async throws -> StoredImageFile {
        let path = folder.appending(name)
        return try await Self.offPool("open") {
            StoredImageFile(file: try SystemPackage.FileDescriptor.open(path, .readOnly, options: [.closeOnExec]))
        }
    }

    /// A file that is gone already is as good as removed.
    func remove(_ name: String) async throws {
        let path = folder.appending(name)
        try await Self.offPool("remove") { try Self.unlink(path) }
    }

    /// Files that were last changed before `time`, by name.
    func files(before time: Date) async throws -> [String] {
        let folder = folder.string
        return try await Self.offPool("list") {
            guard let stream = opendir(folder) else { throw Errno(rawValue: errno) }
            defer { closedir(stream) }
            var names: [String] = []
            while let entry = readdir(stream) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                var status = stat()
                guard stat("\(folder)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFREG,
                    Double(status.st_mtim.tv_sec) < time.timeIntervalSince1970
                else { continue }
                names.append(name)
            }
            return names
        }
    }

    static func name(of upload: ImageUpload) -> String {
        "\(upload.imageID).\(upload.uploadID.uuidString.lowercased())"
    }

    static func unlink(_ path: FilePath) throws {
        guard Glibc.unlink(path.string) == 0 || errno == ENOENT else { throw Errno(rawValue: errno) }
    }

    /// Runs what may block on a thread that may.
    static func offPool<Value: Sendable>(
        _ operation: String, _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        do {
            return try await NIOThreadPool.singleton.runIfActive(body)
        } catch let error as Errno {
            throw Failure(operation: operation, errno: error)
        }
    }
}

/// An open file of the store, for reading.
final class StoredImageFile: Sendable {
    private let file: SystemPackage.FileDescriptor

    init(file: SystemPackage.FileDescriptor) { self.file = file }

    deinit {
        // Nothing was written, so a failed close loses nothing.
        try? file.close()
    }

    /// The bytes from `offset`, at most `count`; none at the end.
    func read(at offset: Int64, count: Int) async throws -> ByteBuffer {
        try await ImageStore.offPool("read") { [file] in
            var piece = ByteBuffer()
            try piece.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
                try file.read(
                    fromAbsoluteOffset: offset, into: UnsafeMutableRawBufferPointer(rebasing: bytes.prefix(count)))
            }
            return piece
        }
    }
}
