import CloudHarness
import Deployer
import Foundation
import PostgresClient
import Primitives
import Subprocess
import SystemPackage
import TestSupport
import Testing

extension EndToEndTests {
    /// Who holds what: rows, secrets, connections, libraries.
    @Suite struct IsolationTests {
        @Test func anInstanceIsInItsOwnCellsDatabaseOnly() async throws {
            let ready = try await SharedCloud.ready()
            let tenant = try await Tenant.make()
            _ = try await tenant.create("where", ["min_count": 4])
            let ids = try await tenant.waitForAll(4).map { try $0.text("id") }
            let uuids = ids.compactMap { UUID(uuidString: $0) }
            var held: [UUID: [String]] = [:]
            for cell in ready.leaves {
                let rows = try await SharedCloud.query(
                    cell, "select id, host from cell.instances where id = any(\(uuids))")
                for row in rows {
                    held[try row.get("id"), default: []].append(cell.path)
                    #expect(cell.hosts.contains(try row.get("host")))
                }
            }
            #expect(held.count == 4 && held.values.allSatisfy { $0.count == 1 })
            #expect(Set(held.values.flatMap { $0 }) == Set(ready.leaves.map(\.path)))
            let directory = try await SharedCloud.query(
                try ready.root, "select id, cell from directory.instances where id = any(\(uuids))")
            for row in directory { #expect(held[try row.get("id")] == [try row.get("cell")]) }
            #expect(directory.count == 4)
            // The root has no table of instances, a cell none of the directory.
            #expect(try await schemas(of: try ready.root).isDisjoint(with: ["cell", "saga"]))
            for cell in ready.leaves {
                let schemas = try await schemas(of: cell)
                #expect(schemas.isDisjoint(with: ["directory", "placement", "identity", "api", "network", "image"]))
            }
            try await tenant.delete(ids)
        }

        private func schemas(of cell: DevReady.Cell) async throws -> Set<String> {
            Set(try await SharedCloud.query(cell, "select nspname::text from pg_namespace").column(as: String.self))
        }

        @Test func aCellsRoleOpensItsOwnDatabaseAndNoOther() async throws {
            let ready = try await SharedCloud.ready()
            for role in ready.cells {
                for cell in ready.cells {
                    let pool = try await SharedCloud.database(of: cell, as: role)
                    do {
                        let user = try await pool.query("select current_user::text").scalar(as: String.self)
                        #expect(role.path == cell.path, "\(role.resource) opened \(cell.resource)")
                        #expect(user == role.resource)
                    } catch {
                        #expect(role.path != cell.path)
                        #expect("\(error)".contains("permission denied for database"), "\(error)")
                    }
                    await pool.close()
                }
            }
            let powers = try await SharedCloud.query(
                try ready.root,
                """
                select rolname::text from pg_roles where rolname = any(\(ready.cells.map(\.resource)))
                    and (rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication)
                """)
            #expect(powers.isEmpty)
        }

        @Test func aRoleWithAnothersPasswordIsRefused() async throws {
            let ready = try await SharedCloud.ready()
            var cells = ready.leaves
            cells[0].databasePasswordFile = cells[1].databasePasswordFile
            let pool = try await SharedCloud.database(of: ready.leaves[0], as: cells[0])
            await #expect {
                _ = try await pool.query("select 1")
            } throws: {
                "\($0)".contains("password authentication failed")
            }
            await pool.close()
        }

        @Test func anAgentKnowsNothingOfADatabase() async throws {
            let ready = try await SharedCloud.ready()
            let secrets = try ([ready.database.passwordFile] + ready.cells.map(\.databasePasswordFile)).map {
                try SharedCloud.text($0)
            }
            for host in ready.hosts {
                let name = "compute-\(host)"
                let pid = try #require(try ready.pid(of: name))
                let configuration = try SharedCloud.text(try #require(try ready.process(name).configuration))
                let texts = [configuration, ProcessTable.arguments(of: pid), ProcessTable.environment(of: pid)]
                for text in texts {
                    for secret in secrets { #expect(!text.contains(secret)) }
                    #expect(!text.contains("database") && !text.contains(String(ready.database.port)), "\(text)")
                }
                #expect(ProcessTable.connectedPorts(of: pid).contains(ready.broker.port))
                #expect(!ProcessTable.connectedPorts(of: pid).contains(ready.database.port))
                let files = ProcessTable.openFiles(of: pid)
                #expect(!files.isEmpty && !files.contains { $0.contains("/secrets/") || $0.contains("database") })
            }
        }

        @Test func theAPIOpensTheRootsDatabaseOnlyAndNoHostIsToldOfAnothersSecret() async throws {
            let ready = try await SharedCloud.ready()
            let pid = try #require(try ready.pid(of: "api"))
            #expect(ProcessTable.connectedPorts(of: pid).contains(ready.database.port))
            let sessions = try await SharedCloud.query(
                try ready.root,
                """
                select distinct datname || ' ' || application_name from pg_stat_activity
                where application_name = any(\(["api", "supervisor", "conductor"])) order by 1
                """
            ).column(as: String.self)
            let root = try ready.root
            #expect(sessions.filter { $0.hasSuffix(" api") } == ["\(root.resource) api"])
            // Secrets of each process are those that its configuration names, and no two hosts share one.
            var owners: [String: String] = [:]
            for host in ready.hosts {
                let text = try SharedCloud.text(try #require(try ready.process("compute-\(host)").configuration))
                let file = try JSONParser.parse(text).text("bus.passwordFile")
                #expect(owners.updateValue(host, forKey: file) == nil)
            }
        }

        @Test(arguments: [
            ("cellwright-compute", ["libpq"]), ("cellwright-api", ["libvirt"]),
            ("cellwright-supervisor", ["libvirt"]), ("cellwright-conductor", ["libvirt"]),
            ("cellwright", ["libpq", "libvirt", "librabbitmq"]),
        ]) func aProgramLinksOnlyWhatItUses(_ program: String, _ banned: [String]) async throws {
            let result = try await Subprocess.run(
                .path("/usr/bin/ldd"), arguments: ["\(TestCloud.binaries)/\(program)"], output: .string(limit: 1 << 20))
            let text = result.standardOutput
            #expect(text.contains("libc.so"))
            for library in banned { #expect(!text.contains(library), "\(text)") }
        }
    }
}
