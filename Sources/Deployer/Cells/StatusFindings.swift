extension CloudStatus {
    /// Events that a root may be behind before it is worth saying.
    fileprivate static let lagLimit: Int64 = 1000

    /// What a status says that somebody should do something about.
    var findings: [Finding] {
        var findings: [Finding] = []
        if let cellsProblem {
            findings.append(
                Finding(
                    .error, "the cloud", "the cells API says nothing: \(cellsProblem)",
                    mend:
                        "`cellwright logs api --lines 200` shows what the API says; `cellwright apply` starts what is stopped."
                ))
        }
        if let surveyProblem {
            findings.append(
                Finding(
                    .error, "the cloud", "its hosts could not be looked at: \(surveyProblem)",
                    mend: "Mend what it says and run `cellwright doctor` again."))
        }
        for host in hosts {
            guard let why = host.unreachable else { continue }
            findings.append(
                Finding(
                    .error, "host \(host.name)", "it can't be reached by ssh at \(host.address): \(why)",
                    mend:
                        "See that it runs, that `ssh` to it works from here without a password, and that its key is known."
                ))
        }
        for cell in strangers {
            findings.append(
                Finding(
                    .warning, "cell \(cell.path)", "it is mapped and not in the topology",
                    mend:
                        "`cellwright cell retire \(cell.path)` removes it when it is empty; or put it back into the topology."
                ))
        }
        findings += root.findings(isSurveyed: surveyProblem == nil)
        return findings + driftFindings
    }

    private var driftFindings: [Finding] {
        guard let drift else { return [] }
        var findings = drift.unknown.map {
            Finding(
                .error, "the cloud", "it could not be looked at: \($0)", mend: "See that this part runs and answers.")
        }
        if !drift.changes.isEmpty {
            findings.append(
                Finding(
                    .warning, "the cloud",
                    "\(CellText.counted(drift.changes.count, "thing")) differ from the topology, such as: "
                        + "\(drift.changes[0].what) (\(drift.changes[0].why))",
                    mend: "`cellwright plan` shows all, `cellwright apply` mends them."))
        }
        return findings
    }
}

extension CloudStatus.Cell {
    fileprivate func findings(isSurveyed: Bool) -> [Finding] {
        var findings = report.map(reportFindings) ?? []
        if isSurveyed { findings += processFindings }
        for host in hosts where host.state != "up" && report?.health.state != "down" {
            findings.append(
                Finding(
                    .error, "host \(host.name)", "its agent is silent since \(host.lastSeenAt)",
                    mend:
                        "`cellwright logs \(host.name)` and `cellwright apply`; `cellwright host disable \(host.name)` if it is to stay away."
                ))
        }
        for host in hosts where host.placement.state != "enabled" {
            findings.append(
                Finding(
                    .warning, "host \(host.name)", "it is \(host.placement.state) since \(host.placement.since)",
                    mend: "`cellwright host enable \(host.name)` when it may have servers again."))
        }
        return findings + children.flatMap { $0.findings(isSurveyed: isSurveyed) }
    }

    private func reportFindings(_ report: CellReport) -> [Finding] {
        let subject = "cell \(path)"
        var findings: [Finding] = []
        if report.health.state != "up" {
            findings.append(
                Finding(
                    report.health.state == "down" ? .error : .warning, subject,
                    "it is \(report.health.state) since \(report.health.since): \(report.health.reason ?? "no reason given")",
                    mend: "`cellwright logs \(path)` shows its processes; `cellwright apply` starts what is stopped."))
        } else if report.conductors.up == 0 {
            findings.append(
                Finding(
                    .error, subject, "no conductor of it runs: nothing is built or changed there",
                    mend: "`cellwright apply` starts it."))
        }
        if report.placement.state != "enabled" {
            findings.append(
                Finding(
                    .warning, subject, "it is \(report.placement.state) since \(report.placement.since)",
                    mend: "`cellwright cell enable \(path)` when it may have servers again."))
        }
        if report.events.lag > CloudStatus.lagLimit {
            findings.append(
                Finding(
                    .warning, subject, "the root is \(report.events.lag) of its events behind",
                    mend: "It catches up by itself; `cellwright logs supervisor` says if it can't."))
        }
        if report.versions.agents.count > 1 {
            let versions = report.versions.agents.keys.sorted().joined(separator: ", ")
            findings.append(
                Finding(
                    .warning, subject, "its agents run different versions: \(versions)",
                    mend: "`cellwright apply` brings them to this one."))
        }
        return findings
    }

    private var processFindings: [Finding] {
        processes.compactMap { process in
            let what: String
            switch process.state {
            case .healthy, .unknown, .absent: return nil
            case .unhealthy: what = "runs and is not well"
            case .stopped: what = "is stopped"
            }
            return Finding(
                .error, "host \(process.host)", "\(process.unit) \(what)",
                mend: "`cellwright logs \(process.unit)` says why; `cellwright apply` starts it.")
        }
    }
}
