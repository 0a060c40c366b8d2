/// Lets equal attributes of many things be one piece of memory: folders, packages and units of a thousand hosts look alike.
package struct FactsPool: Sendable {
    /// Different attributes that are kept; those that come later stay as they are.
    static let limit = 10_000

    private var known: Set<[String: String]> = []

    package init() {}

    package mutating func shared(_ observation: ObservedFacts.Observation) -> ObservedFacts.Observation {
        guard case .present(let attributes) = observation else { return observation }
        if let index = known.firstIndex(of: attributes) { return .present(known[index]) }
        if known.count < Self.limit { known.insert(attributes) }
        return observation
    }
}
