import ArgumentParser
import FoundationEssentials
import Topology

/// What every command takes.
struct CommonOptions: ParsableArguments {
    enum Output: String, ExpressibleByArgument, CaseIterable {
        case text, json
    }

    @Option(name: .long, help: ArgumentHelp("The topology file.", valueName: "file"))
    var topology = "topology.yaml"

    @Option(name: .long, help: "For people or for programs.")
    var output = Output.text

    var isJSON: Bool { output == .json }
}

/// A topology file that was read, and where it is.
struct LoadedTopology {
    let topology: Topology
    /// Absolute path of the folder that the file is in: paths in the file are relative to it.
    let folder: String

    /// - Throws: ``InvalidTopology``, ``CommandFailure`` when there is no such file.
    init(path: String) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw UserError("there is no topology file \(path); name another with --topology")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw UserError("\(path) is not UTF-8 text")
        }
        topology = try TopologyDocument.read(text, file: path)
        folder = URL(filePath: path).standardizedFileURL.deletingLastPathComponent().path
    }
}

/// A mistake of the user's, said in one sentence with what to do.
struct UserError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
