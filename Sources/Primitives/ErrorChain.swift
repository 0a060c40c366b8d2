/// An error that was caused by another. Describe your own facts in `description`; the chain prints the causes.
package protocol CausedError: Error, CustomStringConvertible {
    var cause: (any Error)? { get }
}

/// Prints an error with everything that led to it, once, at the edge that handles it.
package struct ErrorChain: CustomStringConvertible {
    package static let depthLimit = 8

    private let error: any Error

    package init(_ error: any Error) { self.error = error }

    package var description: String {
        var parts: [String] = []
        var next: (any Error)? = error
        while let current = next, parts.count < Self.depthLimit {
            parts.append(String(describing: current))
            next = (current as? any CausedError)?.cause
        }
        return parts.joined(separator: ": ")
    }
}
