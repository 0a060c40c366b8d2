/// Judges the tickets with which hosts fetch images.
package protocol ImageTicketVerifier: Sendable {
    /// Whether `ticket` is good for this image now.
    func isValid(_ ticket: String, for image: ImageID) -> Bool
}
