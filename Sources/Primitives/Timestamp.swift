package import FoundationEssentials

extension Date {
    /// From 1970-01-01 to the day that Foundation counts from, 2001-01-01.
    private static let microsecondsToReferenceDate: Int64 = 978_307_200_000_000

    /// Microseconds since 1970, the precision of PostgreSQL and of everything that is kept or sent as a number. One and the
    /// same time has one number however often it is written and read: it comes from what Foundation keeps, without the
    /// rounding that a change of epoch brings.
    package var microseconds: Int64 {
        let sinceReference = (timeIntervalSinceReferenceDate * 1_000_000).rounded()
        return Int64(min(max(sinceReference, -9e18), 9e18)) + Self.microsecondsToReferenceDate
    }

    /// - Parameter microseconds: since 1970.
    package init(microseconds: Int64) {
        let (sinceReference, isOverflow) = microseconds.subtractingReportingOverflow(Self.microsecondsToReferenceDate)
        self.init(timeIntervalSinceReferenceDate: Double(isOverflow ? .min : sinceReference) / 1_000_000)
    }
}

/// Times as OpenStack writes and reads them, in UTC. By hand: a formatter costs twenty times as much, and a list shows
/// hundreds of times.
package enum Timestamp {
    /// `2026-11-22T10:20:30Z`
    package static func seconds(_ date: Date) -> String { text(date, hasFraction: false, suffix: "Z") }

    /// `2026-11-22T10:20:30.000000Z`
    package static func microseconds(_ date: Date) -> String { text(date, hasFraction: true, suffix: "Z") }

    /// `2026-11-22T10:20:30.000000`, as Nova writes some.
    package static func naiveMicroseconds(_ date: Date) -> String { text(date, hasFraction: true, suffix: "") }

    /// Any ISO 8601 time: a day alone or with a time behind `T` or a blank, with or without a fraction; without a zone it
    /// is UTC. Nil for anything else.
    package static func parse(_ text: String) -> Date? {
        var reader = TimestampReader(text)
        guard let year = reader.number(4), reader.take("-"), let month = reader.number(2), reader.take("-"),
            let day = reader.number(2), (1...12).contains(month), (1...days(inMonth: month, year: year)).contains(day)
        else { return nil }
        let midnight = daysSinceEpoch(year: year, month: month, day: day) * 86_400
        if reader.isAtEnd { return Date(microseconds: Int64(midnight) * 1_000_000) }
        guard reader.take("T") || reader.take(" "), let hour = reader.number(2), hour < 24, reader.take(":"),
            let minute = reader.number(2), minute < 60
        else { return nil }
        var second = 0
        var fraction = 0
        if reader.take(":") {
            guard let number = reader.number(2), number <= 60 else { return nil }
            second = number
            if reader.take(".") || reader.take(",") {
                guard let number = reader.microseconds() else { return nil }
                fraction = number
            }
        }
        guard let offset = reader.zone() else { return nil }
        let seconds = midnight + hour * 3600 + minute * 60 + second - offset
        return Date(microseconds: Int64(seconds * 1_000_000 + fraction))
    }

    private static func text(_ date: Date, hasFraction: Bool, suffix: String) -> String {
        let total = Int(date.microseconds)
        let (day, inDay) = flooredDivision(total, 86_400_000_000)
        let (year, month, dayOfMonth) = civil(day)
        let second = inDay / 1_000_000
        var output: [UInt8] = []
        output.reserveCapacity(28)
        append(year, 4, to: &output)
        for part in [month, dayOfMonth] {
            output.append(UInt8(ascii: "-"))
            append(part, 2, to: &output)
        }
        var separator = UInt8(ascii: "T")
        for part in [second / 3600, second / 60 % 60, second % 60] {
            output.append(separator)
            append(part, 2, to: &output)
            separator = UInt8(ascii: ":")
        }
        if hasFraction {
            output.append(UInt8(ascii: "."))
            append(inDay % 1_000_000, 6, to: &output)
        }
        output.append(contentsOf: suffix.utf8)
        return String(decoding: output, as: UTF8.self)
    }

    private static func append(_ value: Int, _ width: Int, to output: inout [UInt8]) {
        var divisor = 1
        for _ in 1..<width { divisor *= 10 }
        while divisor > 0 {
            output.append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }

    /// The remainder is never negative.
    private static func flooredDivision(_ value: Int, _ divisor: Int) -> (quotient: Int, remainder: Int) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    /// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar: eras of 400 years that
    /// begin in March, so that the leap day is the last of its year.
    private static func civil(_ day: Int) -> (year: Int, month: Int, day: Int) {
        let (era, dayOfEra) = flooredDivision(day + 719_468, 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func daysSinceEpoch(year: Int, month: Int, day: Int) -> Int {
        let (era, yearOfEra) = flooredDivision(month <= 2 ? year - 1 : year, 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func days(inMonth month: Int, year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

/// Takes the text of a time apart from its beginning.
private struct TimestampReader {
    private let bytes: [UInt8]
    private var index = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    var isAtEnd: Bool { index == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    /// Exactly `width` digits.
    mutating func number(_ width: Int) -> Int? {
        guard index + width <= bytes.count else { return nil }
        var value = 0
        for byte in bytes[index..<index + width] {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        index += width
        return value
    }

    /// A fraction of a second of one digit or more; what is finer is left out.
    mutating func microseconds() -> Int? {
        var value = 0
        var unit = 100_000
        let start = index
        while let digit = number(1) {
            value += digit * unit
            unit /= 10
        }
        return index > start ? value : nil
    }

    /// Seconds east of UTC; the text must end here.
    mutating func zone() -> Int? {
        if isAtEnd { return 0 }
        if take("Z") { return isAtEnd ? 0 : nil }
        // A plus sign in a query reads as a blank.
        let isEast = take("+") || take(" ")
        guard isEast || take("-"), let hours = number(2) else { return nil }
        _ = take(":")
        let minutes = isAtEnd ? 0 : number(2)
        guard let minutes, isAtEnd, hours < 24, minutes < 60 else { return nil }
        return (isEast ? 1 : -1) * (hours * 3600 + minutes * 60)
    }
}
