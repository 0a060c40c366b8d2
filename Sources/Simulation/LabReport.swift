/// What one laboratory found. Times in milliseconds unless the name says otherwise.
package struct LabRun: Codable, Sendable, Equatable {
    package struct Latency: Codable, Sendable, Equatable {
        package var p50: Double
        package var p99: Double
        package var requests: Int

        package init(_ seconds: [Double]) {
            let sorted = seconds.sorted()
            func part(_ share: Double) -> Double {
                guard !sorted.isEmpty else { return 0 }
                return LabRun.rounded(sorted[Int((Double(sorted.count - 1) * share).rounded())] * 1000)
            }
            p50 = part(0.5)
            p99 = part(0.99)
            requests = seconds.count
        }
    }

    /// A page of 100 servers with details.
    package struct List: Codable, Sendable, Equatable {
        /// All of its servers are in one cell.
        package var few: Latency
        /// Its servers are spread over as many cells as there are, 100 at most.
        package var spread: Latency
        package var spreadCells: Int
        /// CPU of the root's processes for one page of the first kind (milliseconds).
        package var rootCPU: Double
        /// The flavors, which no cell is asked for: tells how quick the machine was meanwhile.
        package var reference: Latency

        package init(few: Latency, spread: Latency, spreadCells: Int, rootCPU: Double, reference: Latency) {
            self.few = few
            self.spread = spread
            self.spreadCells = spreadCells
            self.rootCPU = rootCPU
            self.reference = reference
        }

        /// How many times as long a spread page takes as one of one cell.
        package var ratio: Double { few.p50 > 0 ? LabRun.rounded(spread.p50 / few.p50) : 0 }
    }

    package struct Boots: Codable, Sendable, Equatable {
        package var count: Int
        package var failed: Int
        /// From the first request until the last server was ACTIVE.
        package var perSecond: Double
        package var accept: Latency
    }

    package struct DeadCell: Codable, Sendable, Equatable {
        /// From the end of the leaf's supervisor until a list says that the leaf does not answer (seconds).
        package var noticedAfter: Double
        /// The slowest list that was asked for meanwhile.
        package var slowestList: Double
        /// Lists of other cells' servers meanwhile.
        package var others: Latency
    }

    /// The root's API and supervisor.
    package struct Root: Codable, Sendable, Equatable {
        package var memoryMiB: Double
        /// Of one core, with nobody asking for anything (per cent).
        package var restingCPU: Double
        package var sockets: Int
        package var databaseSessions: Int
        /// Of its database's sessions, of one core (per cent).
        package var restingDatabaseCPU: Double
        /// Of all that runs: the root, its servers and every simulated cell, of one core (per cent).
        package var restingLaboratoryCPU: Double

        package init(
            memoryMiB: Double, restingCPU: Double, sockets: Int, databaseSessions: Int, restingDatabaseCPU: Double,
            restingLaboratoryCPU: Double
        ) {
            self.memoryMiB = memoryMiB
            self.restingCPU = restingCPU
            self.sockets = sockets
            self.databaseSessions = databaseSessions
            self.restingDatabaseCPU = restingDatabaseCPU
            self.restingLaboratoryCPU = restingLaboratoryCPU
        }
    }

    package var cells: Int
    package var branches: Int
    package var hosts: Int
    package var instances: Int
    package var broker: String
    /// Seconds of each stage, in order.
    package var stages: [Stage]
    package var list: List
    package var boots: Boots
    package var deadCell: DeadCell?
    package var root: Root
    /// All processes, servers and this program together, at the end.
    package var memoryMiB: Double
    package var seconds: Double

    package init(
        cells: Int, branches: Int, hosts: Int, instances: Int, broker: String, stages: [Stage], list: List,
        boots: Boots, deadCell: DeadCell?, root: Root, memoryMiB: Double, seconds: Double
    ) {
        self.cells = cells
        self.branches = branches
        self.hosts = hosts
        self.instances = instances
        self.broker = broker
        self.stages = stages
        self.list = list
        self.boots = boots
        self.deadCell = deadCell
        self.root = root
        self.memoryMiB = memoryMiB
        self.seconds = seconds
    }

    package struct Stage: Codable, Sendable, Equatable {
        package var name: String
        package var seconds: Double

        package init(name: String, seconds: Double) {
            self.name = name
            self.seconds = seconds
        }
    }

    package static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
}

/// Laboratories of one series, and the machine that they ran on.
package struct LabReport: Codable, Sendable, Equatable {
    package var processors: Int
    /// Of the machine when the series began: others may have used it.
    package var loadAverage: Double
    package var runs: [LabRun]

    package init(processors: Int, loadAverage: Double, runs: [LabRun] = []) {
        self.processors = processors
        self.loadAverage = loadAverage
        self.runs = runs
    }

    package static let columns = [
        "cells", "branches", "hosts", "servers", "flavors p50 ms", "page in one cell p50/p99 ms", "spread p50/p99 ms",
        "ratio", "boots/s", "dead cell s", "root MiB", "root CPU %", "root sockets", "root sessions", "all MiB",
        "all CPU %", "s",
    ]

    /// One for each of ``columns``, of each run.
    package var rows: [[String]] {
        runs.map { run in
            [
                "\(run.cells)", "\(run.branches)", "\(run.hosts)", "\(run.instances)",
                "\(run.list.reference.p50)", "\(run.list.few.p50)/\(run.list.few.p99)",
                "\(run.list.spread.p50)/\(run.list.spread.p99)", "\(run.list.ratio)", "\(run.boots.perSecond)",
                run.deadCell.map { "\($0.noticedAfter)" } ?? "-", "\(run.root.memoryMiB)",
                "\(run.root.restingCPU)", "\(run.root.sockets)", "\(run.root.databaseSessions)", "\(run.memoryMiB)",
                "\(run.root.restingLaboratoryCPU)", "\(run.seconds)",
            ]
        }
    }

    /// Plots of cost against the number of cells, by file name.
    package var plots: [String: String] {
        func plot(_ title: String, _ unit: String, _ series: [(String, (LabRun) -> Double)]) -> String {
            SVGPlot(
                title: title, unit: unit,
                series: series.map { name, value in
                    .init(name: name, points: runs.map { (Double($0.cells), value($0)) })
                }
            ).svg
        }
        return [
            "list.svg": plot(
                "A page of 100 servers, p50", "ms",
                [("rows in one cell", { $0.list.few.p50 }), ("rows in up to 100 cells", { $0.list.spread.p50 })]),
            "root-memory.svg": plot("Memory of the root", "MiB", [("API and supervisor", { $0.root.memoryMiB })]),
            "root-cpu.svg": plot(
                "CPU of the root at rest", "% of a core",
                [
                    ("API and supervisor", { $0.root.restingCPU }),
                    ("its database sessions", { $0.root.restingDatabaseCPU }),
                ]),
            "root-connections.svg": plot(
                "Connections of the root", "count",
                [("sockets", { Double($0.root.sockets) }), ("database sessions", { Double($0.root.databaseSessions) })]),
        ]
    }
}
