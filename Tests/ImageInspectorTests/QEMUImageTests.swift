import Subprocess
import SystemPackage
import Testing

@testable import ImageInspector

/// A file, read as images are.
struct FileImage: ImageSource {
    let descriptor: FileDescriptor
    let size: UInt64

    init(_ path: FilePath) throws {
        descriptor = try FileDescriptor.open(path, .readOnly)
        size = UInt64(try descriptor.seek(offset: 0, from: .end))
    }

    func read(at offset: UInt64, count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...])
                let got = try descriptor.read(fromAbsoluteOffset: Int64(offset) + Int64(filled), into: rest)
                guard got > 0 else { return }
                filled += got
            }
        }
    }
}

/// A folder of its own for one test, with qemu-img to fill it.
struct Workshop {
    static let tool = ["/usr/bin/qemu-img", "/usr/local/bin/qemu-img"].first {
        (try? FileDescriptor.open(FilePath($0), .readOnly).close()) != nil
    }
    let folder: FilePath

    static func open<Result>(_ body: (Workshop) async throws -> Result) async throws -> Result {
        let made = try await run(.name("mktemp"), arguments: ["-d"], output: .string(limit: 4096))
        let path = made.standardOutput.split(separator: "\n").first.map(String.init) ?? ""
        try #require(path.hasPrefix("/"))
        let outcome: Swift.Result<Result, any Error>
        do { outcome = .success(try await body(Workshop(folder: FilePath(path)))) } catch { outcome = .failure(error) }
        _ = try await run(.name("rm"), arguments: ["-rf", path], output: .discarded)
        return try outcome.get()
    }

    func make(_ arguments: String...) async throws { try await make(arguments) }

    func make(_ arguments: [String]) async throws {
        let tool = try #require(Self.tool)
        for attempt in 1... {
            let result = try await run(
                .path(FilePath(tool)), arguments: Arguments(arguments), workingDirectory: folder,
                output: .discarded, error: .string(limit: 4096))
            // How many rounds a LUKS key gets is measured, and on a busy machine that goes wrong now and then.
            if attempt < 20, result.standardError.contains("accurate CPU usage") { continue }
            try #require(result.terminationStatus.isSuccess, "qemu-img \(arguments): \(result.standardError)")
            return
        }
    }

    func inspect(_ name: String, declared: DiskFormat? = nil) throws -> ImageInspection {
        let source = try FileImage(folder.appending(name))
        let outcome = Result { try ImageInspector().inspect(source, declared: declared) }
        try source.descriptor.close()
        return try outcome.get()
    }

    func refusal(_ name: String, declared: DiskFormat? = nil) throws -> ImageInspectionError? {
        do {
            _ = try inspect(name, declared: declared)
            return nil
        } catch let error as ImageInspectionError {
            return error
        }
    }
}

/// The same on images that QEMU's own tool made.
@Suite(.enabled(if: Workshop.tool != nil, "qemu-img is not installed"))
struct QEMUImageTests {
    @Test(arguments: [
        ["-o", "compat=0.10"], ["-o", "compat=1.1"], ["-o", "cluster_size=512"], ["-o", "cluster_size=2M"],
        ["-o", "extended_l2=on,cluster_size=128k"], ["-o", "compression_type=zstd"], ["-o", "lazy_refcounts=on"],
        ["-o", "preallocation=metadata"], ["-o", "refcount_bits=1"], ["-o", "refcount_bits=64"],
    ]) func acceptsWhatCreateMakes(_ options: [String]) async throws {
        try await Workshop.open { workshop in
            let size = options.last == "cluster_size=512" ? 128 << 20 : 3 << 30
            let arguments = ["create", "-q", "-f", "qcow2"] + options + ["x", String(size)]
            let tool = try #require(Workshop.tool)
            let result = try await run(
                .path(FilePath(tool)), arguments: Arguments(arguments), workingDirectory: workshop.folder,
                output: .discarded)
            try #require(result.terminationStatus.isSuccess)
            let inspection = try workshop.inspect("x", declared: .qcow2)
            #expect(inspection.virtualSizeBytes == UInt64(size))
            #expect(inspection.qcow2?.usesZstandard == options.contains("compression_type=zstd"))
        }
    }

    @Test func acceptsCompressedGrownAndSnapshottedImages() async throws {
        try await Workshop.open { workshop in
            try await workshop.make("create", "-q", "-f", "raw", "raw", "8M")
            try await workshop.make("convert", "-c", "-f", "raw", "-O", "qcow2", "raw", "compressed")
            #expect(try workshop.inspect("compressed").virtualSizeBytes == 8 << 20)
            try await workshop.make("resize", "-q", "compressed", "900G")
            #expect(try workshop.inspect("compressed").virtualSizeBytes == 900 << 30)
            try await workshop.make("snapshot", "-c", "one", "compressed")
            #expect(try workshop.inspect("compressed").qcow2?.internalSnapshots == 1)
            #expect(try workshop.inspect("raw", declared: .raw).virtualSizeBytes == 8 << 20)
        }
    }

    @Test func refusesFilesThatNameOtherFiles() async throws {
        try await Workshop.open { workshop in
            try await workshop.make("create", "-q", "-f", "qcow2", "base", "1M")
            try await workshop.make("create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", "overlay")
            #expect(try workshop.refusal("overlay", declared: .qcow2) == .backingFile)
            try await workshop.make(
                "create", "-q", "-f", "qcow2", "-o", "compat=0.10", "-b", "base", "-F", "qcow2", "old")
            #expect(try workshop.refusal("old") == .backingFile)
            try await workshop.make("create", "-q", "-f", "qcow2", "-o", "data_file=data", "split", "1M")
            #expect(try workshop.refusal("split") == .externalDataFile)
            try await workshop.make(
                "create", "-q", "-f", "qcow2", "-o", "data_file=data2,data_file_raw=on", "split2", "1M")
            #expect(try workshop.refusal("split2") == .externalDataFile)
            try await workshop.make("create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "flat.vmdk", "1M")
            #expect(
                try workshop.refusal("flat.vmdk", declared: .raw)
                    == .declaredFormatDiffers(declared: .raw, detected: .vmdkDescriptor))
        }
    }

    @Test func refusesEncryptedImages() async throws {
        try await Workshop.open { workshop in
            let secret = ["--object", "secret,id=s,data=abcdefgh"]
            try await workshop.make(
                "create", "-q", secret[0], secret[1], "-f", "qcow2", "-o",
                "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=200",
                "x", "1M")
            #expect(try workshop.refusal("x") == .encrypted)
        }
    }

    @Test(arguments: [
        ("qed", [], DetectedFormat.qed), ("vmdk", [], .vmdk), ("vdi", [], .vdi), ("vpc", [], .vhd),
        ("vpc", ["-o", "subformat=fixed"], .vhd), ("vhdx", [], .vhdx), ("parallels", [], .parallels),
        ("qcow", [], .qcow),
        ("luks", ["--object", "secret,id=s,data=abcdefgh", "-o", "key-secret=s,iter-time=200"], .luks),
    ]) func recognisesOtherFormats(_ format: String, _ options: [String], _ expected: DetectedFormat) async throws {
        try await Workshop.open { workshop in
            try await workshop.make(["create", "-q", "-f", format] + options + ["x", "1M"])
            #expect(try workshop.refusal("x") == .unsupportedFormat(expected))
            #expect(
                try workshop.refusal("x", declared: .raw) == .declaredFormatDiffers(declared: .raw, detected: expected))
        }
    }
}
