/// Runs `body` for every element, at most `limit` at a time, and returns the results in the elements' order.
/// The first error cancels the rest.
package func parallelMap<Element: Sendable, Result: Sendable>(
    _ elements: [Element], limit: Int, _ body: @escaping @Sendable (Element) async throws -> Result
) async throws -> [Result] {
    precondition(limit > 0, "work in parallel needs a limit over 0")
    return try await withThrowingTaskGroup(of: (Int, Result).self) { group in
        var results: [Int: Result] = [:]
        var waiting = Array(elements.enumerated().reversed())
        func startNext() {
            guard let (index, element) = waiting.popLast() else { return }
            group.addTask { (index, try await body(element)) }
        }
        for _ in 0..<min(limit, elements.count) { startNext() }
        while let (index, result) = try await group.next() {
            results[index] = result
            startNext()
        }
        return elements.indices.compactMap { results[$0] }
    }
}
