import CloudModel
import FoundationEssentials
import Persistence
import Primitives
import ServerLifecycle
import TestSupport
import Testing

@Suite(.enabled(if: PrivatePostgres.isInstalled, Comment(rawValue: PrivatePostgres.missing)))
struct MissingRowsTests {
    @Test func rowsThatACellDoesNotTellOfAreNamed() async throws {
        let root = try await RootFixture()
        _ = try await root.accept(RootFixture.newServer())
        let build = try #require(try await root.place().first)
        try await root.store.acknowledge([build])
        let id = build.specification.instance.id
        let later = RootFixture.now + 1
        // What is being built is no server of the cell yet.
        #expect(try await root.store.missing(of: build.cell, besides: [], createdBefore: later).isEmpty)
        try await root.activate(build, sequence: 3)
        #expect(try await root.store.missing(of: build.cell, besides: [id], createdBefore: later).isEmpty)
        #expect(try await root.store.missing(of: build.cell, besides: [], createdBefore: later) == [id])
        #expect(try await root.store.missing(of: build.cell, besides: [], createdBefore: RootFixture.now).isEmpty)
        let other = build.cell == RootFixture.north ? RootFixture.south : RootFixture.north
        #expect(try await root.store.missing(of: other, besides: [], createdBefore: later).isEmpty)
    }
}
