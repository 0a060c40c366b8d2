import FoundationEssentials

/// Times as Nova writes them, in UTC. Written by hand: a formatter costs more than the rest of a view.
enum ServerTime {
    /// `2013-09-03T04:01:32Z`.
    static func seconds(_ date: Date) -> String {
        text(date, fraction: false) + "Z"
    }

    /// `2013-09-23T13:53:12.774549`: no zone, microseconds.
    static func microseconds(_ date: Date) -> String {
        text(date, fraction: true)
    }

    private static func text(_ date: Date, fraction: Bool) -> String {
        let micros = Int64((date.timeIntervalSince1970 * 1_000_000).rounded())
        let (days, inDay) = flooredDivision(micros, 86_400_000_000)
        let (year, month, day) = civil(days)
        let second = inDay / 1_000_000
        var output: [UInt8] = []
        output.reserveCapacity(27)
        append(year, 4, to: &output)
        output.append(UInt8(ascii: "-"))
        append(month, 2, to: &output)
        output.append(UInt8(ascii: "-"))
        append(day, 2, to: &output)
        output.append(UInt8(ascii: "T"))
        append(second / 3600, 2, to: &output)
        output.append(UInt8(ascii: ":"))
        append(second / 60 % 60, 2, to: &output)
        output.append(UInt8(ascii: ":"))
        append(second % 60, 2, to: &output)
        if fraction {
            output.append(UInt8(ascii: "."))
            append(inDay % 1_000_000, 6, to: &output)
        }
        return String(decoding: output, as: UTF8.self)
    }

    private static func append(_ value: Int64, _ width: Int, to output: inout [UInt8]) {
        var divisor: Int64 = 1
        for _ in 1..<width { divisor *= 10 }
        while divisor > 0 {
            output.append(UInt8(ascii: "0") + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }

    private static func flooredDivision(_ value: Int64, _ divisor: Int64) -> (Int64, Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    /// The proleptic Gregorian date of a day counted from 1970-01-01, by counting in 400-year eras from 0000-03-01.
    private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = flooredDivision(days + 719_468, 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}
