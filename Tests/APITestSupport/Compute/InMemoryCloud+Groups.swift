import CellProtocol
package import CloudModel
import Synchronization

extension InMemoryCloud: ServerGroupStore {
    package func groups(of project: ProjectID?, offset: Int, limit: Int) async throws -> [ServerGroup] {
        state.withLock { state in
            let groups = state.groups.filter { project == nil || $0.projectID == project }
            return groups.dropFirst(offset).prefix(limit).map { Self.shown($0, state) }
        }
    }

    package func group(_ id: ServerGroupID) async throws -> ServerGroup? {
        state.withLock { state in state.groups.first { $0.id == id }.map { Self.shown($0, state) } }
    }

    package func insert(_ group: ServerGroup, limit: Int, userLimit: Int?) async throws {
        try state.withLock { state in
            let own = state.groups.filter { $0.projectID == group.projectID }
            for (used, limit) in [
                (own.count, limit), (own.filter { $0.userID == group.userID }.count, userLimit ?? -1),
            ] where limit >= 0 && used >= limit {
                throw QuotaExceeded(resource: "server_groups", requested: 1, used: used, limit: limit)
            }
            state.groups.append(group)
        }
    }

    package func deleteGroup(_ id: ServerGroupID) async throws -> Bool {
        state.withLock { state in
            let count = state.groups.count
            state.groups.removeAll { $0.id == id }
            state.members = state.members.filter { $0.value != id }
            return state.groups.count < count
        }
    }

    package func groupCount(of project: ProjectID, user: UserID?) async throws -> Int {
        state.withLock { state in
            state.groups.filter { $0.projectID == project && (user == nil || $0.userID == user) }.count
        }
    }

    static func checkGroup(of servers: NewServers, _ state: State) throws {
        guard let id = servers.group, let first = servers.servers.first?.build.instance else { return }
        guard state.groups.contains(where: { $0.id == id && $0.projectID == first.projectID }) else {
            throw ServerGroupNotFound(id)
        }
        let used = state.members.filter { member, group in
            group == id && state.servers[member]?.instance.userID == first.userID
        }.count
        guard servers.groupMemberLimit < 0 || used + servers.servers.count <= servers.groupMemberLimit else {
            throw QuotaExceeded(
                resource: "server_group_members", requested: servers.servers.count, used: used,
                limit: servers.groupMemberLimit)
        }
    }

    private static func shown(_ group: ServerGroup, _ state: State) -> ServerGroup {
        var group = group
        group.members = state.members.filter { $0.value == group.id }.map(\.key).sorted()
        return group
    }
}
