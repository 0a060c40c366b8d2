import CLibpq
import Primitives

/// Owns a PGconn.
///
/// SAFETY: libpq's connections may move between threads but not be used by two at once. Every use goes through the
/// mutex of the ``Connection`` that holds the handle, apart from the start, when nobody else has it yet.
final class LibpqHandle: @unchecked Sendable {
    let raw: OpaquePointer
    /// What the server said when it ended the session while no statement was under way.
    private(set) var farewell: PostgresError?

    private init(_ raw: OpaquePointer) { self.raw = raw }
    deinit { PQfinish(raw) }

    /// Begins to connect. Blocks while the host's name is looked up.
    static func start(
        _ configuration: PostgresConfiguration, password: Secret?
    ) -> Result<LibpqHandle, PostgresError> {
        let parameters = configuration.parameters(password: password)
        let raw = withCStrings(parameters.map(\.keyword)) { keywords in
            withCStrings(parameters.map(\.value)) { values in PQconnectStartParams(keywords, values, 0) }
        }
        guard let raw else { return .failure(.connection("out of memory")) }
        let handle = LibpqHandle(raw)
        // Verbose, because a refused connection tells its SQLSTATE only in the text.
        PQsetErrorVerbosity(raw, PQERRORS_VERBOSE)
        // Between statements libpq reports the end of the session as a notice. The pointer is as old as the connection.
        PQsetNoticeReceiver(
            raw,
            { handle, notice in
                guard let handle, let notice else { return }
                Unmanaged<LibpqHandle>.fromOpaque(handle).takeUnretainedValue().note(notice)
            }, Unmanaged.passUnretained(handle).toOpaque())
        if PQstatus(raw) == CONNECTION_BAD { return .failure(handle.connectionError()) }
        return .success(handle)
    }

    /// Why there is no connection (any more), with the server's own code where it gave one.
    func connectionError() -> PostgresError {
        if let farewell { return farewell }
        let text = PQerrorMessage(raw).map { String(cString: $0) } ?? ""
        return ConnectionMessage.error(from: text)
    }

    /// Takes in what has arrived. Over TLS the library may hold bytes back that the socket no longer announces.
    /// False when the session is over.
    func consumeInput() -> Bool {
        repeat {
            guard PQconsumeInput(raw) == 1 else { return false }
        } while cw_tls_pending(raw) > 0
        return true
    }

    /// Takes in what arrived between statements. False when the session is over.
    func readWhileIdle() -> Bool {
        // Asking whether libpq is busy makes it look at what it has read.
        consumeInput() && PQisBusy(raw) == 0 && farewell == nil && PQstatus(raw) == CONNECTION_OK
    }

    private func note(_ notice: OpaquePointer) {
        guard let severity = PQresultErrorField(notice, PostgresError.severityField) else { return }
        if ["FATAL", "PANIC"].contains(String(cString: severity)) { farewell = .from(notice) }
    }

    private static func withCStrings<R>(
        _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> R
    ) -> R {
        var offsets: [Int] = []
        var bytes: [CChar] = []
        for string in strings {
            offsets.append(bytes.count)
            bytes.append(contentsOf: string.utf8CString)
        }
        return bytes.withUnsafeBufferPointer { buffer in
            var pointers = offsets.map { buffer.baseAddress.map { $0 }?.advanced(by: $0) }
            pointers.append(nil)
            return pointers.withUnsafeBufferPointer { body($0.baseAddress) }
        }
    }
}

/// Reads libpq's text about a failed connection.
enum ConnectionMessage {
    /// libpq writes `...: FATAL:  28P01: password authentication failed ...` in verbose mode, severity translated.
    static func error(from text: String) -> PostgresError {
        var reason = ""
        for line in text.split(whereSeparator: \.isNewline) {
            if let found = serverError(in: line) { return found }
            // The rest of a verbose message is the server's source location.
            if reason.isEmpty { reason = String(line) }
        }
        return .connection(reason.isEmpty ? "connection lost" : reason)
    }

    private static func serverError(in line: Substring) -> PostgresError? {
        var rest = line[...]
        while let colon = rest.firstRange(of: ":  ") {
            rest = rest[colon.upperBound...]
            let code = rest.prefix(5)
            let isCode = code.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) }
            guard code.utf8.count == 5, isCode, rest.dropFirst(5).hasPrefix(": ") else { continue }
            let message = String(rest.dropFirst(7))
            return .server(sqlState: SQLState(rawValue: String(code)), message: message, detail: nil, constraint: nil)
        }
        return nil
    }
}

/// Owns what a cancel request needs; independent of the connection.
///
/// SAFETY: PQcancel is documented as callable from any thread, also while another one uses the connection; the object is
/// not changed after it was made and is freed once.
final class CancelHandle: @unchecked Sendable {
    private let raw: OpaquePointer

    init?(_ handle: LibpqHandle) {
        guard let raw = PQgetCancel(handle.raw) else { return nil }
        self.raw = raw
    }

    deinit { PQfreeCancel(raw) }

    /// Asks the server to stop what runs. Blocks until the server has passed the request on.
    func request() {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            _ = PQcancel(raw, buffer.baseAddress, Int32(buffer.count))
        }
    }
}

extension PostgresError {
    /// PG_DIAG_SEVERITY_NONLOCALIZED
    static let severityField = Int32(UInt8(ascii: "V"))
    /// PG_DIAG_SOURCE_FUNCTION
    static let functionField = Int32(UInt8(ascii: "R"))

    /// The error that a result stands for.
    static func from(_ result: OpaquePointer) -> PostgresError {
        func field(_ code: Character) -> String? {
            guard let value = code.asciiValue else { return nil }
            return PQresultErrorField(result, Int32(value)).map { String(cString: $0) }
        }
        guard let state = field("C") else {
            let text = PQresultErrorMessage(result).map { String(cString: $0) } ?? ""
            return ConnectionMessage.error(from: text)
        }
        return .server(
            sqlState: SQLState(rawValue: state), message: field("M") ?? "", detail: field("D"), constraint: field("n"))
    }
}
