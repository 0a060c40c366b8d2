import CloudModel
import Testing

@Suite struct IPv4Tests {
    @Test(arguments: [(0, "0.0.0.0"), (22, "255.255.252.0"), (24, "255.255.255.0"), (32, "255.255.255.255")])
    func masksOfPrefixes(length: Int, mask: String) { #expect(IPv4Prefix.netmask(length).description == mask) }

    @Test func aPrefixKnowsItsNetworkAndItsHosts() throws {
        let prefix = try #require(IPv4Prefix("10.20.3.77/22"))
        #expect(prefix.description == "10.20.0.0/22")
        #expect(prefix.hosts.lowerBound.description == "10.20.0.1")
        #expect(prefix.last.description == "10.20.3.255")
    }

    @Test(arguments: ["10.20.3", "10.20.3.256", "010.1.1.1", "1.2.3.4.5", "a.b.c.d", ""])
    func refusesWhatIsNoAddress(text: String) { #expect(IPv4Address(text) == nil) }
}
