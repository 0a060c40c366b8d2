import Primitives
import Testing

@testable import PostgresClient

struct PostgresErrorTests {
    private static func server(_ state: SQLState) -> PostgresError {
        .server(sqlState: state, message: "m", detail: "Key (secret)=(hunter2)", constraint: "c")
    }

    @Test(arguments: [
        SQLState.serializationFailure, .deadlock, .adminShutdown, .crashShutdown, .cannotConnectNow, .diskFull,
        .tooManyConnections, .lockNotAvailable, "08006",
    ])
    func `what may pass by itself is transient`(state: SQLState) { #expect(Self.server(state).isTransient) }

    @Test(arguments: [
        SQLState.uniqueViolation, .foreignKeyViolation, .checkViolation, .undefinedTable, .insufficientPrivilege,
        .invalidPassword, .syntaxError, .undefinedDatabase,
    ])
    func `what stays until somebody acts is not transient`(state: SQLState) { #expect(!Self.server(state).isTransient) }

    @Test func `own errors are transient when the server may come back`() {
        let transient: [PostgresError] = [.connection(""), .poolExhausted, .timedOut, .commitOutcomeUnknown("")]
        let lasting: [PostgresError] = [.cancelled, .closed, .encoding(""), .decoding(column: "", reason: "")]
        #expect(transient.allSatisfy(\.isTransient) && !lasting.contains(where: \.isTransient))
    }

    @Test func `stored values stay out of the description`() {
        let text = Self.server(.uniqueViolation).description
        #expect(text == "PostgreSQL 23505: m (constraint c)")
    }

    @Test func `the password is in no description of the configuration`() {
        let configuration = PostgresConfiguration(
            host: "h", database: "d", user: "u", password: .fixed(Secret("hunter2")), searchPath: ["a b", "c"])
        var dumped = ""
        dump(configuration, to: &dumped)
        #expect(!"\(configuration)\(String(reflecting: configuration))\(dumped)".contains("hunter2"))
    }

    @Test(arguments: [
        (
            "connection to server at \"127.0.0.1\", port 1 failed: FATAL:  28P01: password authentication failed for"
                + " user \"x\"\nLOCATION:  auth_failed, auth.c:338", "28P01",
            "password authentication failed for user \"x\""
        ),
        ("connection to server on socket \"/s\" failed: FATALE:  57P03: wird gestartet\n", "57P03", "wird gestartet"),
    ])
    func `the server's code is read from libpq's text`(text: String, state: String, message: String) {
        #expect(
            ConnectionMessage.error(from: text)
                == .server(sqlState: SQLState(rawValue: state), message: message, detail: nil, constraint: nil))
    }

    @Test func `a failure that is not the server's keeps its first line`() {
        let text =
            "connection to server at \"127.0.0.1\", port 1 failed: Connection refused\n\tIs the server running?\n"
        #expect(
            ConnectionMessage.error(from: text)
                == .connection("connection to server at \"127.0.0.1\", port 1 failed: Connection refused"))
    }
}
