import Testing

@testable import PostgresClient

struct StatementCacheTests {
    private func key(_ sql: String) -> StatementCache.Key { StatementCache.Key(sql: sql, types: []) }

    @Test func `the least recently used statement leaves first`() {
        var cache = StatementCache(limit: 2)
        let a = cache.insert(key("a"))
        let b = cache.insert(key("b"))
        #expect(cache.name(for: key("a")) == a)
        _ = cache.insert(key("c"))
        #expect(cache.count == 2)
        #expect(cache.takeDoomed() == [b])
        #expect(cache.name(for: key("b")) == nil && cache.name(for: key("a")) == a)
    }

    @Test func `names are never used twice`() {
        var cache = StatementCache(limit: 1)
        let names = (0..<5).map { cache.insert(key("\($0)")) }
        #expect(Set(names).count == 5)
    }

    @Test func `the same text with other types is another statement`() {
        var cache = StatementCache(limit: 4)
        let text = cache.insert(StatementCache.Key(sql: "select $1", types: [20]))
        #expect(cache.name(for: StatementCache.Key(sql: "select $1", types: [23])) == nil)
        #expect(cache.name(for: StatementCache.Key(sql: "select $1", types: [20])) == text)
    }

    @Test func `a statement that the server refused is forgotten without being deallocated`() {
        var cache = StatementCache(limit: 2)
        let name = cache.insert(key("a"))
        cache.forget(key("a"), name: name)
        #expect(cache.count == 0 && cache.takeDoomed().isEmpty)
    }
}
