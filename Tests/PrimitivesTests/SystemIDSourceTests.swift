import FoundationEssentials
import Primitives
import Testing

@Suite struct SystemIDSourceTests {
    @Test func idsAreOfVersionFourAndNoneComesTwice() {
        let source = SystemIDSource()
        let ids = (0..<1000).map { _ in source.uuid() }
        #expect(Set(ids).count == ids.count)
        for id in ids {
            let text = Array(id.uuidString)
            #expect(text[14] == "4" && "89AB".contains(text[19]))
        }
    }
}
