/// Reads topology files.
///
/// Sequence: YAML text -> tree with positions (``YAMLSource``) -> keys and types (``ShapeChecker``) -> names, references
/// and the model (``TopologyReader``). Each stage goes on after an error, so that all are reported at once.
package enum TopologyDocument {
    /// Reads the text of a topology file. `file` names it in problems.
    /// - Throws: ``InvalidTopology`` with everything that is wrong, in the order of the file.
    package static func read(_ text: String, file: String) throws(InvalidTopology) -> Topology {
        var source = YAMLSource()
        let tree = source.read(text)
        var problems = source.problems
        var topology: Topology?
        if let tree {
            var checker = ShapeChecker()
            checker.check(tree, .topology)
            problems += checker.problems
            if tree.kind == .mapping {
                var reader = TopologyReader()
                topology = reader.read(tree)
                problems += reader.problems
            }
        }
        guard let topology, problems.isEmpty else {
            throw InvalidTopology(file: file, problems: Set(problems).sorted())
        }
        return topology
    }
}
