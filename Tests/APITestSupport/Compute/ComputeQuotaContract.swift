package import CloudModel
import Testing

/// What every ``ComputeQuotaStore`` keeps, as cases that the stand-in's and the database's tests both run.
package enum ComputeQuotaContract {
    package struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let body: @Sendable (any ComputeQuotaStore) async throws -> Void
        package var testDescription: String { name }

        package func run(_ store: any ComputeQuotaStore) async throws { try await body(store) }
    }

    private static func limits(_ change: (inout QuotaLimits) -> Void) -> QuotaLimits {
        var limits = QuotaLimits()
        change(&limits)
        return limits
    }

    private static func standard(_ change: (inout ComputeQuota) -> Void) -> ComputeQuota {
        var quota = ComputeQuota.standard
        change(&quota)
        return quota
    }

    package static let cases: [Case] = [
        Case(name: "nothing is set at first") { store in
            let quota = try await store.quota(of: "p")
            #expect(quota == .standard)
            #expect(try await store.quota(of: "p", user: "u") == nil)
            #expect(try await store.quota(of: "p", for: "u") == .standard)
            #expect(try await store.defaults() == .standard)
            #expect(try await store.quotaClass("gold") == .standard)
        },
        Case(name: "each limit is set by itself, of one project") { store in
            let every = limits { limits in
                (limits.instances, limits.cores, limits.memoryMiB, limits.keyPairs) = (1, 2, 3, 4)
                (limits.metadataItems, limits.serverGroups, limits.serverGroupMembers) = (5, 6, 7)
            }
            try await store.set(every, of: "p", user: nil)
            let whole = ComputeQuota(
                instances: 1, cores: 2, memoryMiB: 3, keyPairs: 4, metadataItems: 5, serverGroups: 6,
                serverGroupMembers: 7)
            #expect(try await store.quota(of: "p") == whole)
            try await store.set(limits { $0.cores = -1 }, of: "p", user: nil)
            var unbounded = whole
            unbounded.cores = -1
            #expect(try await store.quota(of: "p") == unbounded)
            #expect(try await store.quota(of: "q") == .standard)
        },
        Case(name: "the default class stands under projects, and these under their users") { store in
            try await store.set(limits { $0.cores = 1 }, of: "p", user: nil)
            try await store.set(limits { ($0.cores, $0.instances) = (7, 7) }, ofClass: "default")
            #expect(try await store.quota(of: "p") == standard { ($0.cores, $0.instances) = (1, 7) })
            #expect(try await store.quota(of: "q") == standard { ($0.cores, $0.instances) = (7, 7) })
            #expect(try await store.defaults() == standard { ($0.cores, $0.instances) = (7, 7) })
            try await store.set(limits { $0.instances = 3 }, of: "p", user: "u")
            #expect(try await store.quota(of: "p", user: "u") == standard { ($0.cores, $0.instances) = (1, 3) })
            #expect(try await store.quota(of: "p", for: "u").instances == 3)
            #expect(try await store.quota(of: "p", for: "v").instances == 7)
            #expect(try await store.quota(of: "p", for: nil).instances == 7)
            #expect(try await store.quota(of: "q", user: "u") == nil)
        },
        Case(name: "a class of another name is kept and means nothing to projects") { store in
            try await store.set(limits { $0.cores = 7 }, ofClass: "gold")
            try await store.set(limits { $0.instances = 8 }, ofClass: "gold")
            #expect(try await store.quotaClass("gold") == standard { ($0.cores, $0.instances) = (7, 8) })
            #expect(try await store.defaults() == .standard)
        },
        Case(name: "what limits nothing any more is kept, each by itself") { store in
            try await store.set(limits { $0.retired = ["a": 1, "b": 2] }, ofClass: "default")
            try await store.set(limits { $0.retired = ["b": 3] }, ofClass: "default")
            try await store.set(limits { $0.cores = 3 }, ofClass: "default")
            for user in [nil, "u"] as [UserID?] {
                try await store.set(limits { $0.retired = ["c": 4] }, of: "p", user: user)
                try await store.set(limits { $0.retired = ["a": 5] }, of: "p", user: user)
            }
            #expect(try await store.defaults().retired == ["a": 1, "b": 3])
            #expect(try await store.quota(of: "p").retired == ["a": 5, "b": 3, "c": 4])
            #expect(try await store.quota(of: "p", user: "u")?.retired == ["a": 5, "b": 3, "c": 4])
        },
        Case(name: "a reset takes one user's limits, or the project's with all its users'") { store in
            for user in [nil, "u", "v"] as [UserID?] {
                try await store.set(limits { $0.cores = 1 }, of: "p", user: user)
            }
            try await store.set(limits { $0.cores = 1 }, of: "q", user: nil)
            try await store.reset("p", user: "u")
            #expect(try await store.quota(of: "p", user: "u") == nil)
            #expect(try await store.quota(of: "p", user: "v") != nil)
            try await store.reset("p", user: nil)
            #expect(try await store.quota(of: "p") == .standard)
            #expect(try await store.quota(of: "p", user: "v") == nil)
            #expect(try await store.quota(of: "q").cores == 1)
        },
    ]
}
