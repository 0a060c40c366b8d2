import Glibc

/// Standard input as a sign of life of whoever holds the other end.
enum StandardInput {
    /// Returns once there is nothing more to read, and drops what there is.
    static func end(clock: some Clock<Duration> = ContinuousClock()) async throws {
        while true {
            var descriptor = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
            if poll(&descriptor, 1, 0) > 0 {
                var buffer = [UInt8](repeating: 0, count: 4096)
                if read(0, &buffer, buffer.count) <= 0 { return }
            }
            try await clock.sleep(for: .milliseconds(100))
        }
    }
}
