import TestSupport
import Testing

/// A whole cloud as child processes, driven over HTTP as clients do. One cloud for all of these tests, which each have
/// their own project; they run one after the other because some of them kill its processes.
@Suite(.serialized, .enabled(if: TestCloud.missing == nil, "\(TestCloud.missing ?? "")"), .timeLimit(.minutes(15)))
struct EndToEndTests {}
