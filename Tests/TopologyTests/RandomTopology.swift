import Topology

/// Numbers that look random and are the same for the same seed (SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

/// Writes topology files of any form that the reader accepts: trees of several levels, own control hosts, roles, servers of
/// their own, ranges, settings on every level, labs and machines.
struct RandomTopology {
    private var numbers: SeededNumbers
    private var lines: [String] = []
    private var cellCount = 0
    private var machines: [String] = []
    private let isLab: Bool

    /// The text of a topology file.
    static func text(seed: UInt64) -> String {
        var writer = RandomTopology(seed: seed)
        return writer.write()
    }

    private init(seed: UInt64) {
        numbers = SeededNumbers(seed: seed)
        isLab = numbers.chance(50)
    }

    private mutating func write() -> String {
        lines = ["apiVersion: cellwright/v1", "name: random"]
        if isLab { lines.append("lab: {network: 10.80.0.0/16}") }
        if numbers.chance(30) { lines.append("tls: \(pick(["auto", "on", "off"]))") }
        if numbers.chance(50) { lines.append("defaults: \(settings())") }
        machines = (1...Int.random(in: 1...4, using: &numbers)).map { "m-\($0)" }
        lines.append("hosts:")
        // The first is the root's control host by its role, so that several machines need no more said.
        lines.append("  - {name: m-1, roles: [control\(numbers.chance(50) ? ", api" : "")]}")
        for machine in machines.dropFirst() { lines.append("  - \(machine)") }
        if numbers.chance(30) {
            lines.append("root: {database: {host: \(pick(machines))}, broker: {host: \(pick(machines))}}")
        }
        if numbers.chance(30) { lines.append("api: {port: \(pick(["8080", "8774"]))}") }
        lines.append("cells:")
        for _ in 0..<Int.random(in: 0...4, using: &numbers) { writeCell(indent: 2, depth: 1) }
        if lines.last == "cells:" { lines[lines.count - 1] = "cells: []" }
        writeBootstrap()
        return lines.joined(separator: "\n") + "\n"
    }

    private mutating func writeCell(indent: Int, depth: Int) {
        cellCount += 1
        let name = "c\(cellCount)"
        let space = String(repeating: " ", count: indent)
        lines.append("\(space)- name: \(name)")
        if numbers.chance(30) { lines.append("\(space)  control: \(pick(machines))") }
        if numbers.chance(15) { lines.append("\(space)  database: {host: \(pick(machines))}") }
        if numbers.chance(15) { lines.append("\(space)  broker: {host: \(pick(machines))}") }
        if numbers.chance(10) {
            lines.append("\(space)  database: {existing: {url: \"postgresql://a@db.example/x\", passwordEnv: P}}")
            removeRepeat(of: "database", in: indent)
        }
        if numbers.chance(40) { lines.append("\(space)  defaults: \(settings())") }
        if depth < 3, numbers.chance(30) {
            let count = Int.random(in: 0...2, using: &numbers)
            lines.append("\(space)  cells:\(count == 0 ? " []" : "")")
            for _ in 0..<count { writeCell(indent: indent + 4, depth: depth + 1) }
        } else {
            let count = Int.random(in: 0...2, using: &numbers)
            lines.append("\(space)  hosts:\(count == 0 ? " []" : "")")
            for part in 0..<count {
                let last = Int.random(in: 1...3, using: &numbers)
                let host = "\(name)-\(part)-[1-\(last)]"
                lines.append(
                    "\(space)    - "
                        + (numbers.chance(30) ? "{name: \"\(host)\", labels: {rack: r\(part)}}" : "\"\(host)\""))
            }
        }
    }

    /// Of two entries with one key in the cell that is being written, the second stays.
    private mutating func removeRepeat(of key: String, in indent: Int) {
        let start = String(repeating: " ", count: indent) + "  \(key):"
        let places = lines.indices.reversed().prefix {
            !lines[$0].hasPrefix(String(repeating: " ", count: indent) + "- ")
        }
        .filter { lines[$0].hasPrefix(start) }
        if places.count > 1, let first = places.last { lines.remove(at: first) }
    }

    private mutating func settings() -> String {
        var parts: [String] = []
        if numbers.chance(50) { parts.append("availabilityZone: z\(Int.random(in: 1...3, using: &numbers))") }
        if numbers.chance(40) { parts.append("hypervisor: {driver: \(pick(["libvirt", "simulated"]))}") }
        if numbers.chance(30) { parts.append("capacity: {vcpus: \(Int.random(in: 1...64, using: &numbers))}") }
        return "{\(parts.joined(separator: ", "))}"
    }

    private mutating func writeBootstrap() {
        guard numbers.chance(60) else { return }
        lines.append("bootstrap:")
        lines.append("  projects: [{name: demo, quota: {instances: \(Int.random(in: -1...9, using: &numbers))}}]")
        lines.append("  users: [{name: u, project: demo}]")
        lines.append("  flavors: [{name: f, vcpus: 1, memoryMiB: \(pick(["128", "256"])), diskGiB: 1}]")
        if numbers.chance(50) { lines.append("  networks: [{name: n, cidr: 10.20.0.0/24}]") }
    }

    private mutating func pick(_ choices: [String]) -> String {
        choices[Int.random(in: 0..<choices.count, using: &numbers)]
    }
}
