import Foundation
import FuzzTargets

/// What libFuzzer calls with each input. `CELLWRIGHT_FUZZ_TARGET` names the target. Built by `deploy/fuzz` only.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    target.run(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}

private let target: FuzzTarget = {
    let name = ProcessInfo.processInfo.environment["CELLWRIGHT_FUZZ_TARGET"] ?? ""
    guard let target = FuzzTarget(rawValue: name) else {
        preconditionFailure("CELLWRIGHT_FUZZ_TARGET names no target: \(name)")
    }
    return target
}()
