/// Tells formats by their marks. Whatever a hypervisor might recognise by itself is recognised here too, so that no image
/// passes as raw and is then opened as something else.
struct FormatDetector {
    /// How far from the start the farthest mark ends (the third ISO 9660 descriptor).
    static let markAreaByteCount = 36_864 + 6
    /// How much of the end is looked at: the footer of a fixed VHD, the trailer of a DMG.
    static let tailByteCount = 512

    let head: ByteWindow
    /// The last bytes, at most ``tailByteCount``, once the end is known.
    let tail: ByteWindow?

    func detect() -> DetectedFormat {
        if let format = markAtStart() { return format }
        if head.has([0x7F, 0x10, 0xDA, 0xBE], at: 0x40) { return .vdi }
        if [32_769, 34_817, 36_865].contains(where: { head.has("CD001", at: $0) }) { return .iso }
        if isVMDKDescriptor() { return .vmdkDescriptor }
        if let tail, tail.count == Self.tailByteCount {
            if tail.has("conectix") { return .vhd }
            if tail.has("koly") { return .dmg }
        }
        // A fixed VHD of old makers has a footer of 511 bytes.
        if let tail, tail.has("conectix", at: 1) { return .vhd }
        return .raw
    }

    /// How a raw disk is divided.
    func partitioning() -> Partitioning {
        if head.has("EFI PART", at: 512) || head.has("EFI PART", at: 4096) { return .gpt }
        guard head.has([0x55, 0xAA], at: 510) else { return .none }
        let entries = (0..<4).map { 446 + 16 * $0 }
        let types = entries.compactMap { head.byte(at: $0 + 4) }
        if types.contains(0xEE) { return .gpt }
        let flags = entries.compactMap { head.byte(at: $0) }
        return flags.allSatisfy { $0 == 0 || $0 == 0x80 } && types.contains { $0 != 0 } ? .mbr : .none
    }

    private func markAtStart() -> DetectedFormat? {
        if head.has([0x51, 0x46, 0x49, 0xFB]) {
            return head.bigEndian(UInt32.self, at: 4) == 1 ? .qcow : .qcow2
        }
        if head.has([0x51, 0x45, 0x44, 0x00]) { return .qed }
        if head.has("KDMV") || head.has("COWD") { return .vmdk }
        if head.has("conectix") { return .vhd }
        if head.has("vhdxfile") { return .vhdx }
        if head.has([0x4C, 0x55, 0x4B, 0x53, 0xBA, 0xBE]) { return .luks }
        if head.has("WithoutFreeSpace") || head.has("WithouFreSpacExt") { return .parallels }
        if head.has("Bochs Virtual HD Image") { return .bochs }
        if head.has("#!/bin/sh\n#V2.0 Format\n") { return .cloop }
        return nil
    }

    /// A text whose first line that is neither blank nor a comment is `version=`; also one that opens with the comment
    /// which every maker writes, whatever follows.
    private func isVMDKDescriptor() -> Bool {
        let lineLimit = 4096
        let text = head.bytes.prefix(lineLimit)
        let blanks: Set<UInt8> = [0x20, 0x09, 0x0D, 0x0A]
        let start = text.drop { blanks.contains($0) }
        let opening = Array("# disk descriptorfile".utf8)
        if start.count >= opening.count, start.prefix(opening.count).map(Self.lowercased).elementsEqual(opening) {
            return true
        }
        for line in start.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }) {
            let words = line.drop { blanks.contains($0) }
            guard let first = words.first, first != UInt8(ascii: "#") else { continue }
            return words.prefix(8).map(Self.lowercased).elementsEqual(Array("version=".utf8))
        }
        return false
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}
