import APITestSupport
import ComputeAPI
import Foundation
import Primitives
import Subprocess
import SystemPackage
import Testing

@Suite struct KeyPairTests {
    /// A key of nobody's, with its MD5 fingerprint as ssh-keygen prints it.
    private static let key = """
        ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f someone@somewhere
        """

    @Test func aKeyIsImportedShownAndDeleted() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-keypairs")
        let made = try await bench.api.post(
            path, ["keypair": ["name": "mine", "public_key": .string(Self.key)]], version: 10)
        #expect(made.status == 201)
        #expect(made["keypair", "type"] == "ssh")
        #expect(made["keypair", "private_key"] == nil)
        #expect(made["keypair", "fingerprint"]?.string?.count == 47)
        let shown = try await bench.api.get("\(path)/mine", version: 10)
        #expect(shown["keypair", "public_key"]?.string == Self.key)
        #expect(shown["keypair", "deleted"] == false)
        #expect(try await bench.api.get(path, version: 10)["keypairs", "0", "keypair", "name"] == "mine")
        #expect(try await bench.api.get("\(path)/mine", as: .bob).status == 404)
        #expect(try await bench.api.delete("\(path)/mine", version: 10).status == 204)
        #expect(try await bench.api.delete("\(path)/mine", version: 10).status == 404)
    }

    @Test func theFirstVersionAnswersWithItsOwnCodes() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-keypairs")
        let made = try await bench.api.post(path, ["keypair": ["name": "k", "public_key": .string(Self.key)]])
        #expect(made.status == 200)
        #expect(made["keypair", "type"] == nil)
        #expect(try await bench.api.delete("\(path)/k").status == 202)
        #expect(
            try await bench.api.post(path, ["keypair": ["name": "k", "type": "ssh", "public_key": "x"]]).status == 400)
    }

    @Test func aKeyIsGeneratedBefore292() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-keypairs")
        let made = try await bench.api.post(path, ["keypair": ["name": "k"]], version: 91)
        #expect(made.status == 201)
        #expect(made["keypair", "private_key"]?.string?.hasPrefix("-----BEGIN OPENSSH PRIVATE KEY-----") == true)
        #expect(made["keypair", "public_key"]?.string?.hasPrefix("ssh-ed25519 ") == true)
        #expect(try await bench.api.get("\(path)/k", version: 91)["keypair", "private_key"] == nil)
        #expect(try await bench.api.post(path, ["keypair": ["name": "k2"]], version: 92).status == 400)
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/ssh-keygen"), "needs ssh-keygen"))
    func generatedKeysAreReadBySSH() async throws {
        let key = Ed25519KeyGenerator().generate(comment: "made here")
        let file = FileManager.default.temporaryDirectory.appending(path: "key-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        let isWritten = FileManager.default.createFile(
            atPath: file.path, contents: Data(key.privateText.utf8), attributes: [.posixPermissions: 0o600])
        try #require(isWritten)
        let result = try await run(
            .path("/usr/bin/ssh-keygen"), arguments: ["-y", "-f", file.path], output: .string(limit: 4096),
            error: .string(limit: 4096))
        #expect(result.terminationStatus.isSuccess)
        let derived = result.standardOutput.split(separator: " ").prefix(2)
        #expect(derived.elementsEqual(key.publicText.split(separator: " ").prefix(2)))
    }

    @Test(
        arguments: [
            (["name": ""], 10, 400), (["name": "a@b"], 91, 400), (["name": "a@b.c"], 92, 201),
            (["name": "a/b"], 92, 400),
            (["public_key": "nonsense"], 10, 400), (["public_key": "ssh-rsa AAAA"], 10, 400),
            (["type": "gpg"], 10, 400),
            (["public_key": 5], 10, 400), (["colour": "red"], 10, 400), (["user_id": "x"], 9, 400),
            (["user_id": "x"], 10, 403), (["type": "x509"], 10, 400),
        ] as [(JSONValue, Int, Int)])
    func keysAreChecked(change: JSONValue, minor: Int, status: Int) async throws {
        let bench = try await ComputeBench()
        var members: [String: JSONValue] = ["name": "k", "public_key": .string(Self.key)]
        members.merge(change.object ?? [:]) { $1 }
        let answer = try await bench.api.post(
            bench.path("os-keypairs"), ["keypair": .object(members)], version: minor)
        #expect(answer.status == status)
    }

    @Test func namesAreUniquePerUser() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-keypairs")
        let body: JSONValue = ["keypair": ["name": "k", "public_key": .string(Self.key)]]
        #expect(try await bench.api.post(path, body, version: 10).status == 201)
        #expect(try await bench.api.post(path, body, version: 10).status == 409)
        #expect(try await bench.api.post(path, body, as: .bob, version: 10).status == 201)
    }

    @Test func administratorsSeeOthersKeys() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-keypairs")
        _ = try await bench.api.post(path, ["keypair": ["name": "k", "public_key": .string(Self.key)]], version: 10)
        let query = "user_id=\(Person.ann.userID)"
        #expect(try await bench.api.get("\(path)/k?\(query)", as: .root, version: 10).status == 200)
        #expect(try await bench.api.get("\(path)/k?\(query)", as: .bob, version: 10).status == 403)
        #expect(try await bench.api.get("\(path)/k?\(query)", as: .root, version: 9).status == 404)
    }

    @Test func listsArePagedFrom235() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-keypairs")
        for name in ["b", "a", "c"] {
            _ = try await bench.api.post(
                path, ["keypair": ["name": .string(name), "public_key": .string(Self.key)]], version: 10)
        }
        let page = try await bench.api.get("\(path)?limit=2", version: 35)
        #expect((page["keypairs"]?.array ?? []).compactMap { $0["keypair"]?["name"]?.string } == ["a", "b"])
        #expect(page["keypairs_links", "0", "rel"] == "next")
        let rest = try await bench.api.get("\(path)?limit=2&marker=b", version: 35)
        #expect(rest["keypairs"]?.array?.count == 1)
        #expect(try await bench.api.get("\(path)?marker=zz", version: 35).status == 400)
        #expect(try await bench.api.get("\(path)?limit=2", version: 34)["keypairs"]?.array?.count == 3)
    }
}
