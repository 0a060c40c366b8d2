import CloudModel
import HTTPKit

extension APIContext {
    /// The caller, who must be an administrator.
    /// - Throws: a 403 that names the action, as Keystone's does.
    func requireAdmin(_ action: String) throws(APIFault) -> AuthContext {
        let auth = try requireAuth()
        guard auth.isAdmin else { throw Self.refusal(action) }
        return auth
    }

    /// The caller, who must be that user or an administrator.
    func require(_ user: UserID, orAdminFor action: String) throws(APIFault) -> AuthContext {
        let auth = try requireAuth()
        guard auth.userID == user || auth.isAdmin else { throw Self.refusal(action) }
        return auth
    }

    static func refusal(_ action: String) -> APIFault {
        .forbidden("You are not authorized to perform the requested action: identity:\(action).")
    }
}
