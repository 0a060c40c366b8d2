import ArgumentParser
import FoundationEssentials
import Glibc

struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Find out what a cloud of many cells would cost and do, with simulated hosts.",
        discussion: """
            Becomes cellwright-simulate, which is beside this program; its --help says what it takes. See the manual's \
            article on scale.
            """)

    @Argument(
        parsing: .captureForPassthrough,
        help: ArgumentHelp("The topology file and options of cellwright-simulate.", valueName: "argument"))
    var arguments: [String] = []

    func run() async throws {
        let program = "\(try Executable.folder())/cellwright-simulate"
        var words = ([program] + arguments).map { strdup($0) }
        words.append(nil)
        execv(program, &words)
        // Only a failure comes back.
        let code = errno
        for word in words { free(word) }
        throw UserError("\(program) can't be started: \(String(cString: strerror(code)))")
    }
}
