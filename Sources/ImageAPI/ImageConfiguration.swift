/// How the image service behaves.
package struct ImageConfiguration: Sendable {
    /// Bytes of one image's data.
    package static let defaultSizeLimit: Int64 = 64 << 30

    package var sizeLimit: Int64

    package init(sizeLimit: Int64 = defaultSizeLimit) {
        precondition((1...(Int64(1) << 60)).contains(sizeLimit), "an image's size limit is 1 to 2^60 bytes")
        self.sizeLimit = sizeLimit
    }
}
