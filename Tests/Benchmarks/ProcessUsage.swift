import CloudHarness
import Deployer

/// What the cloud's processes hold and have used, at one moment.
struct ProcessUsage: Sendable {
    /// CPU seconds of our own processes, by name.
    private(set) var cpu: [String: Double] = [:]
    /// CPU seconds of PostgreSQL with its backends, and of RabbitMQ.
    private(set) var databaseCPU = 0.0
    private(set) var brokerCPU = 0.0
    /// Bytes, by name.
    private(set) var memory: [String: Int] = [:]

    /// - Throws: when a process is not there any more: it died, and the figures mean nothing.
    static func now(_ ready: DevReady) throws -> ProcessUsage {
        var usage = ProcessUsage()
        for process in ready.services {
            guard let cpu = ProcessTable.cpuSeconds(of: process.pid),
                let memory = ProcessTable.proportionalSetSize(of: process.pid)
            else { throw HarnessFailure("\(process.name) is gone; its log is \(process.log)") }
            usage.cpu[process.name] = cpu
            usage.memory[process.name] = memory
        }
        for process in ready.processes where process.configuration == nil {
            let tree = ProcessTable.tree(of: process.pid)
            let cpu = tree.compactMap { ProcessTable.cpuSeconds(of: $0) }.reduce(0, +)
            if process.name == "postgresql" { usage.databaseCPU += cpu } else { usage.brokerCPU += cpu }
        }
        return usage
    }

    /// CPU milliseconds since `start`, divided by `count`: of all our processes together, and by kind.
    func figures(_ name: String, since start: ProcessUsage, per count: Int) -> Figures {
        var byKind: [String: Double] = [:]
        for (process, seconds) in cpu {
            let used = (seconds - (start.cpu[process] ?? 0)) * 1000 / Double(count)
            byKind[Self.kind(process), default: 0] += used
        }
        var figures = Figures()
        figures.add("\(name).cpu.ms", byKind.values.reduce(0, +))
        for (kind, value) in byKind.sorted(by: { $0.key < $1.key }) { figures.add("\(name).cpu.\(kind).ms", value) }
        figures.add("\(name).cpu.postgresql.ms", (databaseCPU - start.databaseCPU) * 1000 / Double(count))
        figures.add("\(name).cpu.rabbitmq.ms", (brokerCPU - start.brokerCPU) * 1000 / Double(count))
        return figures
    }

    func memoryFigures(_ name: String) -> Figures {
        func mebibytes(_ bytes: Int) -> Double { Double(bytes) / 1_048_576 }
        var largest: [String: Int] = [:]
        for (process, bytes) in memory { largest[Self.kind(process)] = max(largest[Self.kind(process)] ?? 0, bytes) }
        var figures = Figures()
        figures.add("\(name).pss.sum.MiB", mebibytes(memory.values.reduce(0, +)))
        for (kind, bytes) in largest.sorted(by: { $0.key < $1.key }) {
            figures.add("\(name).pss.\(kind == "compute" ? "agent" : kind).MiB", mebibytes(bytes))
        }
        return figures
    }

    /// `compute` of `compute-north-1`; the root's supervisor is a kind of its own.
    private static func kind(_ process: String) -> String {
        if process == "supervisor-root" { return "root" }
        return String(process.prefix { $0 != "-" })
    }
}
