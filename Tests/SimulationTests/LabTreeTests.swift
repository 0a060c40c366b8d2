import CloudModel
import Simulation
import Testing

@Suite struct LabTreeTests {
    @Test(
        "branches stand between when there are many leaves, so that no cell has more than five hundred children",
        arguments: [(1, 0), (32, 0), (33, 1), (500, 1), (501, 2), (1000, 2), (2000, 4)])
    func branches(cells: Int, count: Int) {
        let tree = LabTree(cells: cells)
        #expect(tree.branches.count == count)
        #expect(tree.leaves.count == cells)
        #expect(Set(tree.leaves).count == cells)
        let most = tree.branches.map { tree.leaves(below: $0).count }.max() ?? 0
        #expect(most <= LabTree.childLimit)
        #expect(tree.top == (count == 0 ? tree.leaves : tree.branches))
    }

    @Test("as many branches as are asked for share the leaves in turn")
    func turns() {
        let tree = LabTree(cells: 7, branches: 3)
        #expect(tree.branches.map(\.description) == ["/b1", "/b2", "/b3"])
        #expect(
            tree.leaves.map(\.description) == ["/b1/c1", "/b2/c2", "/b3/c3", "/b1/c4", "/b2/c5", "/b3/c6", "/b1/c7"])
        #expect(tree.leaves(below: tree.branches[2]).map(\.name) == ["c3", "c6"])
        #expect(LabTree(cells: 1000, branches: 0).top.count == 1000)
    }
}
