/// Something that `cellwright doctor` found, with how to mend it.
package struct Finding: Codable, Sendable, Equatable {
    package enum Severity: String, Codable, Sendable {
        /// Something does not work.
        case error
        /// It works and may not for long, or is not as somebody may think.
        case warning
    }

    package var severity: Severity
    /// `this machine`, `host north-1`, `cell /north`, `the cloud`.
    package var subject: String
    package var problem: String
    /// What to do, in one sentence; commands in backquotes.
    package var mend: String

    init(_ severity: Severity, _ subject: String, _ problem: String, mend: String) {
        self.severity = severity
        self.subject = subject
        self.problem = problem
        self.mend = mend
    }
}

/// All that a doctor's visit found.
package struct Diagnosis: Codable, Sendable, Equatable {
    /// What was looked at, a line each.
    package var checked: [String]
    /// Errors first.
    package var findings: [Finding]

    init(checked: [String], findings: [Finding]) {
        self.checked = checked
        self.findings =
            findings.filter { $0.severity == .error } + findings.filter { $0.severity == .warning }
    }

    package var lines: [String] {
        var lines = checked.map { "looked at \($0)" }
        for finding in findings {
            lines.append("\(finding.severity.rawValue)  \(finding.subject): \(finding.problem)")
            lines.append("       \(finding.mend)")
        }
        let errors = findings.filter { $0.severity == .error }.count
        let warnings = findings.count - errors
        lines.append(
            findings.isEmpty
                ? "nothing is wrong"
                : "\(CellText.counted(errors, "error")), \(CellText.counted(warnings, "warning"))")
        return lines
    }
}
