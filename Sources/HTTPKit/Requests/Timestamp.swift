package import FoundationEssentials

/// Times as OpenStack writes them, in UTC.
package enum Timestamp {
    /// `2026-11-22T10:20:30Z`
    package static func seconds(_ date: Date) -> String { text(date, microseconds: false) + "Z" }

    /// `2026-11-22T10:20:30.000000Z`
    package static func microseconds(_ date: Date) -> String { text(date, microseconds: true) + "Z" }

    /// `2026-11-22T10:20:30.000000`, as Nova writes some.
    package static func naiveMicroseconds(_ date: Date) -> String { text(date, microseconds: true) }

    /// Any ISO 8601 time, with or without a fraction; without a zone it is UTC. Nil for anything else.
    package static func parse(_ text: String) -> Date? {
        var text = text
        if text.count == 10 { text += "T00:00:00" }
        if text.dropFirst(10).first == " " { text = text.prefix(10) + "T" + text.dropFirst(11) }
        if !text.hasSuffix("Z"), !text.dropFirst(10).contains("+"), !text.dropFirst(10).contains("-") { text += "Z" }
        if let date = try? Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(text) { return date }
        return try? Date.ISO8601FormatStyle().parse(text)
    }

    private static func text(_ date: Date, microseconds: Bool) -> String {
        // Integer arithmetic: a formatter costs 20 times as much and a list shows hundreds of times.
        let total = Int64((date.timeIntervalSince1970 * 1_000_000).rounded())
        let micro = total.remainder(1_000_000)
        let seconds = (total - micro) / 1_000_000
        let secondOfDay = seconds.remainder(86400)
        let (year, month, day) = civil((seconds - secondOfDay) / 86400)
        var output =
            "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))T\(pad(secondOfDay / 3600, 2)):"
            + "\(pad(secondOfDay / 60 % 60, 2)):\(pad(secondOfDay % 60, 2))"
        if microseconds { output += ".\(pad(micro, 6))" }
        return output
    }

    /// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar: eras of 400 years that
    /// begin in March, so that the leap day is the last of its year.
    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let dayOfEra = shifted.remainder(146_097)
        let era = (shifted - dayOfEra) / 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    private static func pad(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

extension Int64 {
    /// The remainder that is never negative.
    fileprivate func remainder(_ divisor: Int64) -> Int64 {
        let rest = self % divisor
        return rest < 0 ? rest + divisor : rest
    }
}
