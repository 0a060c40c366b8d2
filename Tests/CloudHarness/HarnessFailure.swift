/// Something that tests and benchmarks need and that is not as it must be.
package struct HarnessFailure: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
