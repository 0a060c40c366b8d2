/// Sagas as lines for people.
package enum SagaText {
    /// Characters of a failure in a list.
    static let failureWidth = 60

    package static func table(_ list: SagaList) -> [String] {
        guard !list.sagas.isEmpty else {
            return [
                list.cellsSilent.isEmpty ? "There is no such saga." : "There is no such saga in the cells that answer."
            ]
        }
        var table = TextTable([
            ("SAGA", .left), ("CELL", .left), ("SERVER", .left), ("HOST", .left), ("WHAT", .left), ("STATE", .left),
            ("STEP", .left), ("TRIES", .right), ("BEGUN", .left), ("HELD BY", .left), ("FAILURE", .left),
        ])
        for saga in list.sagas {
            table.add([
                saga.id, saga.cell, saga.serverId, saga.host, saga.name, saga.state, step(saga), String(saga.tries),
                seconds(saga.createdAt), saga.lease?.owner, saga.failure.map(short),
            ])
        }
        return table.lines
    }

    package static func lines(_ saga: SagaReport) -> [String] {
        var lines = CellText.pairs([
            ("saga", saga.id), ("what", "\(saga.name), version \(saga.version)"), ("state", saga.state),
            ("server", "\(saga.serverId), attempt \(saga.attempt)"), ("cell", saga.cell), ("host", saga.host),
            ("request", saga.requestId), ("begun", saga.createdAt), ("last change", saga.changedAt),
            ("ended", saga.endedAt), ("said to the user", saga.message),
            ("stands at", saga.step.map { _ in "\(step(saga)), \(CellText.counted(saga.tries, "attempt"))" }),
            ("last failure", saga.failure),
            ("held by", saga.lease.map { "\($0.owner) until \($0.until)" } ?? "nobody"),
            ("lease epoch", String(saga.leaseEpoch)),
        ])
        if let steps = saga.steps, !steps.isEmpty {
            var table = TextTable([
                ("STEP", .left), ("GENERATION", .right), ("STARTED", .left), ("FINISHED", .left), ("RESULT", .left),
                ("DETAILS", .left),
            ])
            for run in steps {
                table.add([
                    run.isUndo ? "undo \(run.step)" : run.step, String(run.generation), run.startedAt, run.finishedAt,
                    run.result, run.details,
                ])
            }
            lines += [""] + table.lines
        }
        if let log = saga.log, !log.isEmpty {
            var table = TextTable([
                ("LOGGED", .left), ("ENTRY", .left), ("STEP", .left), ("GENERATION", .right), ("REASON", .left),
            ])
            for entry in log {
                table.add([entry.at, entry.event, entry.step, entry.generation.map { String($0) }, entry.reason])
            }
            lines += [""] + table.lines
        }
        switch saga.state {
        case "parked":
            lines += [
                "", "It waits for you: `cellwright saga retry \(saga.id)` when what failed is mended,",
                "or `cellwright saga abandon \(saga.id)`. If you abandon it: \(saga.remains)",
            ]
        case "live": lines += ["", "It goes on by itself. If it were abandoned: \(saga.remains)"]
        default: break
        }
        return lines
    }

    package static func answer(retried saga: SagaReport) -> [String] {
        ["Saga \(saga.id) (\(saga.name) of server \(saga.serverId)) goes on at \(step(saga)) on host \(saga.host)."]
    }

    package static func answer(abandoned saga: SagaReport) -> [String] {
        ["Saga \(saga.id) (\(saga.name) of server \(saga.serverId)) is given up.", saga.remains]
    }

    private static func step(_ saga: SagaReport) -> String {
        guard let step = saga.step else { return "-" }
        return saga.isUndoing ? "undo \(step)" : step
    }

    private static func seconds(_ time: String) -> String {
        time.prefix { $0 != "." } + (time.contains(".") ? "Z" : "")
    }

    private static func short(_ text: String) -> String {
        let line = text.prefix { !$0.isNewline }
        return line.count > failureWidth ? line.prefix(failureWidth - 1) + "…" : String(line)
    }
}
