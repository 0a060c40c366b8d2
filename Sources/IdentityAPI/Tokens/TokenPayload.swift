import CloudModel
import FoundationEssentials
import HTTPKit
import Primitives

/// What a token says. Everything that a service needs stands in it, so that nobody has to be asked.
struct TokenPayload: Sendable, Equatable {
    struct Credential: Sendable, Equatable {
        var id: ApplicationCredentialID
        var name: String
        var isRestricted: Bool
    }

    var userID: UserID
    var userName: String
    var userDomain: AuthContext.Named
    var project: AuthContext.Project?
    var roles: [AuthContext.Named]
    var methods: [String]
    /// Its own id first, then that of the first of a chain of tokens had by tokens.
    var auditIDs: [String]
    /// Whole microseconds.
    var issuedAt: Date
    var expiresAt: Date
    var credential: Credential?

    var authContext: AuthContext {
        var context = AuthContext(
            userID: userID, userName: userName, userDomain: userDomain, project: project, roles: roles,
            methods: methods, auditIDs: auditIDs, issuedAt: issuedAt, expiresAt: expiresAt)
        context.isRestricted = credential?.isRestricted ?? false
        return context
    }
}

// The binary form: fields in order, texts as length and bytes, ids of 32 hexadecimal digits as 16 bytes. A change needs a
// new version byte in ``TokenCodec``.
extension TokenPayload {
    var encoded: [UInt8] {
        var writer = FieldWriter()
        writer.text(userID.text)
        writer.text(userName)
        writer.named(userDomain)
        writer.number(project == nil ? 0 : 1)
        if let project {
            writer.text(project.id.text)
            writer.text(project.name)
            writer.named(project.domain)
        }
        writer.number(UInt64(roles.count))
        for role in roles { writer.named(role) }
        writer.number(UInt64(methods.count))
        for method in methods { writer.text(method) }
        writer.number(UInt64(auditIDs.count))
        for id in auditIDs { writer.text(id) }
        writer.number(UInt64(bitPattern: issuedAt.microseconds))
        writer.number(UInt64(bitPattern: expiresAt.microseconds))
        writer.number(credential.map { $0.isRestricted ? 1 : 2 } ?? 0)
        if let credential {
            writer.text(credential.id.text)
            writer.text(credential.name)
        }
        return writer.bytes
    }

    /// nil for bytes that no token has.
    init?(encoded bytes: ArraySlice<UInt8>) {
        var reader = FieldReader(bytes)
        do {
            userID = UserID(try reader.text())
            userName = try reader.text()
            userDomain = try reader.named()
            if try reader.number() == 1 {
                project = AuthContext.Project(
                    id: ProjectID(try reader.text()), name: try reader.text(), domain: try reader.named())
            }
            roles = try reader.list { reader throws(FieldReader.Malformed) in try reader.named() }
            methods = try reader.list { reader throws(FieldReader.Malformed) in try reader.text() }
            auditIDs = try reader.list { reader throws(FieldReader.Malformed) in try reader.text() }
            issuedAt = Date(microseconds: Int64(bitPattern: try reader.number()))
            expiresAt = Date(microseconds: Int64(bitPattern: try reader.number()))
            let kind = try reader.number()
            if kind != 0 {
                credential = Credential(
                    id: ApplicationCredentialID(try reader.text()), name: try reader.text(), isRestricted: kind == 1)
            }
            guard reader.isAtEnd else { return nil }
        } catch {
            return nil
        }
    }
}
