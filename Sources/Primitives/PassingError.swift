/// An error of something that is away, or too busy, for now: the same may work later, without anybody changing anything.
/// What was in flight may have taken effect.
package protocol PassingError: Error {
    var isPassing: Bool { get }
}
