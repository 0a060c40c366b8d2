import Testing

@testable import ImageInspector

struct Look: Sendable, CustomTestStringConvertible {
    let format: DetectedFormat
    let bytes: [UInt8]
    var testDescription: String { "\(format.rawValue), \(bytes.count) bytes" }
}

private func text(_ text: String) -> [UInt8] { Array(text.utf8) }

let looks: [Look] = [
    Look(format: .qcow, bytes: image([(0, [0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 1])])),
    Look(format: .qed, bytes: image([(0, text("QED\0"))])),
    Look(format: .vmdk, bytes: image([(0, text("KDMV"))])),
    Look(format: .vmdk, bytes: image([(0, text("COWD"))])),
    Look(format: .vmdkDescriptor, bytes: text("# Disk DescriptorFile\nversion=1\nRW 2048 FLAT \"/etc/shadow\" 0\n")),
    Look(format: .vmdkDescriptor, bytes: text("\r\n \t# DISK DESCRIPTORFILE\nCID=1\n")),
    Look(format: .vmdkDescriptor, bytes: text("# a comment\n#\n\n  version=3\ncreateType=\"custom\"\n")),
    Look(format: .vmdkDescriptor, bytes: image([(0, text("Version=1\n"))])),
    Look(format: .vhd, bytes: image([(0, text("conectix"))])),
    Look(format: .vhd, bytes: image([(65_536 - 512, text("conectix"))])),
    Look(format: .vhd, bytes: image([(65_535 - 511, text("conectix"))], count: 65_535)),
    Look(format: .vhdx, bytes: image([(0, text("vhdxfile"))])),
    Look(format: .vdi, bytes: image([(0x40, [0x7F, 0x10, 0xDA, 0xBE])])),
    Look(format: .iso, bytes: image([(32_769, text("CD001"))])),
    Look(format: .iso, bytes: image([(510, [0x55, 0xAA]), (34_817, text("CD001"))])),
    Look(format: .luks, bytes: image([(0, text("LUKS") + [0xBA, 0xBE, 0, 2])])),
    Look(format: .parallels, bytes: image([(0, text("WithoutFreeSpace"))])),
    Look(format: .parallels, bytes: image([(0, text("WithouFreSpacExt"))])),
    Look(format: .bochs, bytes: image([(0, text("Bochs Virtual HD Image"))])),
    Look(format: .cloop, bytes: image([(0, text("#!/bin/sh\n#V2.0 Format\nmodprobe cloop"))])),
    Look(format: .dmg, bytes: image([(65_536 - 512, text("koly"))])),
]

@Suite struct FormatDetectionTests {
    @Test(arguments: looks) func refusesWhatIsNeitherRawNorQCOW2(_ look: Look) throws {
        var generator = SeededGenerator(state: 2)
        #expect(throws: ImageInspectionError.unsupportedFormat(look.format)) {
            try ImageInspector().inspect(MemoryImage(bytes: look.bytes), declared: nil)
        }
        for declared in DiskFormat.allCases {
            let error = ImageInspectionError.declaredFormatDiffers(declared: declared, detected: look.format)
            #expect(throws: error) {
                try ImageInspector().inspect(MemoryImage(bytes: look.bytes), declared: declared)
            }
            #expect(throws: error) { try stream(look.bytes, declared: declared, using: &generator) }
        }
    }

    @Test func refusesAQCOW2DeclaredRawAndARawDeclaredQCOW2() {
        let qcow2 = MemoryImage(bytes: HandMadeQCOW2().bytes)
        #expect(throws: ImageInspectionError.declaredFormatDiffers(declared: .raw, detected: .qcow2)) {
            try ImageInspector().inspect(qcow2, declared: .raw)
        }
        #expect(throws: ImageInspectionError.declaredFormatDiffers(declared: .qcow2, detected: .raw)) {
            try ImageInspector().inspect(MemoryImage(bytes: image([])), declared: .qcow2)
        }
    }

    @Test func refusesAnEmptyImage() {
        for declared in [nil, DiskFormat.raw, .qcow2] {
            #expect(throws: ImageInspectionError.empty) {
                try ImageInspector().inspect(MemoryImage(bytes: []), declared: declared)
            }
            #expect(throws: ImageInspectionError.empty) { try IncrementalInspector(declared: declared).finish() }
        }
    }

    @Test func aRawImagesVirtualSizeIsItsSize() throws {
        let inspection = try ImageInspector().inspect(MemoryImage(bytes: image([], count: 700_001)), declared: .raw)
        #expect(inspection == ImageInspection(format: .raw, virtualSizeBytes: 700_001, fileSizeBytes: 700_001))
    }

    @Test func seesHowARawDiskIsDivided() throws {
        let signature: (Int, [UInt8]) = (510, [0x55, 0xAA])
        let entry: (Int, [UInt8]) = (446, [0x80, 0, 0, 0, 0x83])
        let protective: (Int, [UInt8]) = (446, [0, 0, 0, 0, 0xEE])
        let cases: [(Partitioning, [(Int, [UInt8])])] = [
            (.none, []), (.none, [signature]), (.none, [entry]), (.mbr, [signature, entry]),
            (.gpt, [signature, protective]), (.gpt, [(512, text("EFI PART"))]), (.gpt, [(4096, text("EFI PART"))]),
        ]
        for (expected, marks) in cases {
            let bytes = image(marks.map { (offset: $0.0, bytes: $0.1) })
            #expect(try ImageInspector().inspect(MemoryImage(bytes: bytes), declared: .raw).partitioning == expected)
        }
    }

    @Test func plainTextIsRaw() throws {
        for content in ["hello\n", "# a comment\nkey=version=1\n", "#!/bin/sh\necho version=1\n", "versio"] {
            let inspection = try ImageInspector().inspect(MemoryImage(bytes: text(content)), declared: .raw)
            #expect(inspection.format == .raw)
        }
    }
}
