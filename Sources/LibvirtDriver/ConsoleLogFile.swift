import Glibc
import HypervisorDriver

/// The end of a console log, read without the rest.
enum ConsoleLogFile {
    /// - Returns: the last `byteLimit` bytes; nothing where there is no file, because its guest never ran.
    static func tail(_ path: String, byteLimit: Int) throws(HypervisorError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { return [] }
            throw .failed(code: Int(errno), "the console log cannot be opened")
        }
        defer { _ = Glibc.close(descriptor) }
        var attributes = stat()
        guard fstat(descriptor, &attributes) == 0 else {
            throw .failed(code: Int(errno), "the console log cannot be read")
        }
        guard attributes.st_mode & S_IFMT == S_IFREG else {
            throw .failed(code: Int(EINVAL), "the console log is no regular file")
        }
        let size = Int(attributes.st_size)
        let count = min(size, max(0, byteLimit))
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count, let base = buffer.baseAddress {
                let got = pread(descriptor, base + filled, count - filled, off_t(size - count + filled))
                if got < 0, errno == EINTR { continue }
                if got < 0 { failure = errno }
                // Zero: the guest was started again and its log cut short meanwhile.
                if got <= 0 { return }
                filled += got
            }
        }
        guard failure == 0 else { throw .failed(code: Int(failure), "the console log cannot be read") }
        return bytes
    }
}
