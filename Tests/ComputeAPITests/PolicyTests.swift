import APITestSupport
import CloudModel
import HTTPTypes
import Primitives
import Testing

@testable import ComputeAPI

/// Every route against everybody who may not: without a token, with too small a role, from another project.
@Suite struct PolicyTests {
    private struct Target: Sendable, CustomStringConvertible {
        let method: HTTPRequest.Method
        let path: String
        let version: Int
        let role: ComputeRoute.Role
        var description: String { "\(method) \(path) at 2.\(version)" }
    }

    private static let other = "22222222-2222-4222-8222-222222222222"

    private func targets(_ bench: ComputeBench, server: String) -> [Target] {
        bench.service.routes.flatMap { route in
            let path = route.path.replacing("servers/{id}", with: "servers/\(server)")
                .replacing("{id}", with: Self.other).replacing("{sub}", with: "x")
            return [route.versions.lowerBound, route.versions.upperBound].map {
                Target(method: route.method, path: bench.path(path), version: $0, role: route.role)
            }
        }
    }

    @Test func nobodyGetsAnythingWithoutAToken() async throws {
        let bench = try await ComputeBench()
        let server = try await bench.active()
        let targets = targets(bench, server: server)
        #expect(targets.count > 150)
        for target in targets {
            let answer = try await bench.api.send(
                target.method, target.path, ["x": .null], as: nil, version: target.version)
            #expect(answer.status == 401, "\(target)")
        }
    }

    @Test func aRoleThatIsTooSmallIsRefused() async throws {
        let bench = try await ComputeBench()
        let server = try await bench.active()
        var refused = 0
        for target in targets(bench, server: server) {
            let people: [Person] =
                switch target.role {
                case .any, .reader: []
                case .member: [.rita]
                case .admin: [.rita, .ann]
                }
            for person in people {
                let answer = try await bench.api.send(
                    target.method, target.path, ["x": .null], as: person, version: target.version)
                #expect(answer.status == 403, "\(target) as \(person)")
                refused += 1
            }
        }
        #expect(refused > 50)
    }

    /// Another project's server might as well not be there.
    @Test func theServerOfAnotherProjectIsNotFound() async throws {
        let bench = try await ComputeBench()
        let server = try await bench.active(["metadata": ["x": "1"]])
        let id = try #require(ServerID(server))
        let before = bench.cloud.instance(id)
        var refused = 0
        for target in targets(bench, server: server) where target.path.contains(server) && target.role != .admin {
            let bodies: [JSONValue] =
                target.path.hasSuffix("/action")
                ? [
                    ["os-stop": .null], ["os-start": .null], ["reboot": ["type": "HARD"]], ["lock": .null],
                    ["unlock": .null], ["os-getConsoleOutput": .object([:])], ["forceDelete": .null],
                ]
                : [
                    ["x": .null], ["server": ["name": "mine"]], ["metadata": ["x": "2"]], ["meta": ["x": "2"]],
                    ["tags": ["x"]],
                ]
            for body in bodies {
                let answer = try await bench.api.send(
                    target.method, target.path, body, as: .bob, version: target.version)
                // What is no request at all may be told so before anybody looks for the server.
                #expect([400, 404, 410].contains(answer.status), "\(target) \(body.text): \(answer.status)")
                refused += 1
            }
        }
        #expect(refused > 50)
        #expect(bench.cloud.instance(id) == before)
    }
}
