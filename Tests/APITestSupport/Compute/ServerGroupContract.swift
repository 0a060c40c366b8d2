package import CellProtocol
package import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Testing

/// What every ``ServerGroupStore`` and the acceptance beside it keep, as cases that the stand-in's and the database's tests
/// both run.
package enum ServerGroupContract {
    package struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let body: @Sendable (Bench) async throws -> Void
        package var testDescription: String { name }

        package func run(
            _ store: any ServerGroupStore, _ acceptance: any ServerAcceptance, _ directory: any DirectoryStore
        ) async throws {
            try await body(Bench(store: store, acceptance: acceptance, directory: directory))
        }
    }

    package struct Bench: Sendable {
        let store: any ServerGroupStore
        let acceptance: any ServerAcceptance
        let directory: any DirectoryStore
        let ids = CountingIDs()

        func group(
            _ name: String, of project: ProjectID = "p", user: UserID = "u", policy: ServerGroup.Policy = .affinity,
            limit: Int = -1, userLimit: Int? = nil
        ) async throws -> ServerGroup {
            let number = try await store.groupCount(of: project, user: nil)
            let group = ServerGroup(
                id: ids.next(), projectID: project, userID: user, name: name, policy: policy,
                createdAt: ManualWallClock.start.addingTimeInterval(Double(number)))
            try await store.insert(group, limit: limit, userLimit: userLimit)
            return group
        }

        func accept(
            _ count: Int, in group: ServerGroupID?, of project: ProjectID = "p", user: UserID = "u", limit: Int = -1
        ) async throws -> [ServerID] {
            let servers = (0..<count).map { index in
                let instance = Instance(
                    id: ids.next(), projectID: project, userID: user, name: "s\(index)", hostname: "s",
                    flavor: Flavor(id: "1", name: "f", vcpus: 1, memoryMiB: 1, diskGiB: 1), image: nil,
                    reservationID: "r", createdAt: ManualWallClock.start)
                return NewServers.Server(
                    build: BuildSpecification(instance: instance, requestID: "req", publicKey: nil, image: nil),
                    ports: PortReservation(
                        serverID: instance.id, projectID: project, choice: .none, securityGroups: [], hostname: "s",
                        isAdmin: false))
            }
            var quota = ComputeQuota.standard
            quota.instances = -1
            quota.cores = -1
            quota.serverGroupMembers = limit
            return try await acceptance.accept(NewServers(servers: servers, quota: quota, group: group)).map(\.id)
        }

        func delete(_ server: ServerID) async throws {
            let caller = Caller(userID: "u", projectID: "p", roles: ["member"])
            #expect(try await acceptance.delete(server, requestID: "req", caller: caller) == .deleted)
        }
    }

    package static let cases: [Case] = [
        Case(name: "a group comes back as it was stored") { bench in
            let soft = ServerGroup(
                id: bench.ids.next(), projectID: "p", userID: "u", name: "g", policy: .antiAffinity, serversPerHost: 3,
                createdAt: ManualWallClock.start)
            try await bench.store.insert(soft, limit: 1, userLimit: 1)
            #expect(try await bench.store.group(soft.id) == soft)
            #expect(try await bench.store.deleteGroup(soft.id))
            #expect(try await bench.store.deleteGroup(soft.id) == false)
            #expect(try await bench.store.group(soft.id) == nil)
        },
        Case(name: "lists are in order of creation, of one project or of all, in pages") { bench in
            for name in ["a", "b", "c"] { _ = try await bench.group(name) }
            _ = try await bench.group("x", of: "q")
            #expect(try await bench.store.groups(of: "p", offset: 0, limit: 10).map(\.name) == ["a", "b", "c"])
            #expect(try await bench.store.groups(of: "p", offset: 1, limit: 1).map(\.name) == ["b"])
            #expect(try await bench.store.groups(of: "p", offset: 9, limit: 1).isEmpty)
            #expect(try await bench.store.groups(of: nil, offset: 0, limit: 10).count == 4)
        },
        Case(name: "limits of the project and of the user hold") { bench in
            _ = try await bench.group("a", limit: 2, userLimit: 1)
            await #expect(throws: QuotaExceeded(resource: "server_groups", requested: 1, used: 1, limit: 1)) {
                _ = try await bench.group("b", limit: 2, userLimit: 1)
            }
            _ = try await bench.group("b", user: "v", limit: 2, userLimit: 1)
            await #expect(throws: QuotaExceeded(resource: "server_groups", requested: 1, used: 2, limit: 2)) {
                _ = try await bench.group("c", user: "w", limit: 2)
            }
            #expect(try await bench.store.groupCount(of: "p", user: nil) == 2)
            #expect(try await bench.store.groupCount(of: "p", user: "v") == 1)
            _ = try await bench.group("c", of: "q", limit: 2)
        },
        Case(name: "servers are members until they are gone") { bench in
            let group = try await bench.group("g")
            let servers = try await bench.accept(2, in: group.id)
            _ = try await bench.accept(1, in: nil)
            #expect(try await bench.store.group(group.id)?.members == servers.sorted())
            #expect(try await bench.directory.find(servers[0])?.group == group.id)
            try await bench.delete(servers[0])
            #expect(try await bench.store.groups(of: "p", offset: 0, limit: 1)[0].members == [servers[1]])
            #expect(try await bench.store.deleteGroup(group.id))
            #expect(try await bench.directory.find(servers[1])?.group == nil)
        },
        Case(name: "a group takes servers of its own project only") { bench in
            let group = try await bench.group("g", of: "q")
            await #expect(throws: ServerGroupNotFound(group.id)) { _ = try await bench.accept(1, in: group.id) }
            let unknown: ServerGroupID = bench.ids.next()
            await #expect(throws: ServerGroupNotFound(unknown)) { _ = try await bench.accept(1, in: unknown) }
            #expect(try await bench.directory.usage(of: "p").instances == 0)
        },
        Case(name: "members of one user are bounded") { bench in
            let group = try await bench.group("g")
            let first = try await bench.accept(2, in: group.id, limit: 3)
            let error = QuotaExceeded(resource: "server_group_members", requested: 2, used: 2, limit: 3)
            await #expect(throws: error) { _ = try await bench.accept(2, in: group.id, limit: 3) }
            _ = try await bench.accept(3, in: group.id, user: "v", limit: 3)
            try await bench.delete(first[0])
            _ = try await bench.accept(2, in: group.id, limit: 3)
            #expect(try await bench.store.group(group.id)?.members.count == 6)
        },
    ]
}
