import Glibc
import SystemPackage

/// Where the sockets of shared connections are: one short path for each user of this machine, so that a run finds the
/// connections that the last one left open. Nobody else may look into it.
enum SocketFolder {
    /// The folder, made if need be. One that is there and is not private is not used: another is made.
    static func make(parent: String = "/tmp") throws -> String {
        let path = "\(parent)/cellwright-\(geteuid())"
        if mkdir(path, S_IRWXU) == 0 || isPrivate(path) { return path }
        var template = Array("\(parent)/cellwright-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw FileFailure("make a folder in", parent, Errno(rawValue: errno))
        }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func isPrivate(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid()
            && status.st_mode & (S_IRWXG | S_IRWXO) == 0
    }
}
