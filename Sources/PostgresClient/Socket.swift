import Glibc

enum Socket {
    /// Peeks without waiting: data, the end of the stream and errors all count.
    static func hasSomethingToRead(_ descriptor: Int32) -> Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        return count >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
    }
}
