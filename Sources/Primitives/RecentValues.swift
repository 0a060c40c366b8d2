/// A bounded memory of what was used lately: at least the last `limit` values, at most twice as many.
///
/// Two generations: when the young one is full it becomes the old one, and what the old one held is forgotten. So every
/// operation costs the same, whatever is kept.
package struct RecentValues<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let limit: Int
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]

    package init(limit: Int) { self.limit = limit }

    /// Looking keeps a value.
    package mutating func value(_ key: Key) -> Value? {
        if let value = young[key] { return value }
        guard let value = old[key] else { return nil }
        keep(value, for: key)
        return value
    }

    package mutating func keep(_ value: Value, for key: Key) {
        if young[key] == nil, young.count >= limit {
            old = young
            young = [:]
        }
        young[key] = value
    }

    package mutating func forget(_ key: Key) {
        young[key] = nil
        old[key] = nil
    }
}
