package import Primitives

package enum ServerSubject: Sendable {}
package enum CellSubject: Sendable {}
package enum ImageSubject: Sendable {}
package enum NetworkSubject: Sendable {}
package enum SubnetSubject: Sendable {}
package enum PortSubject: Sendable {}
package enum SecurityGroupSubject: Sendable {}
package enum SecurityRuleSubject: Sendable {}
package enum ProviderSubject: Sendable {}
package enum HypervisorSubject: Sendable {}
package enum ServiceSubject: Sendable {}
package enum AggregateSubject: Sendable {}
package enum ServerGroupSubject: Sendable {}

/// A server: the API's word; inside it is an ``Instance``.
package typealias ServerID = Identifier<ServerSubject>
package typealias CellID = Identifier<CellSubject>
package typealias ImageID = Identifier<ImageSubject>
package typealias NetworkID = Identifier<NetworkSubject>
package typealias SubnetID = Identifier<SubnetSubject>
package typealias PortID = Identifier<PortSubject>
package typealias SecurityGroupID = Identifier<SecurityGroupSubject>
package typealias SecurityRuleID = Identifier<SecurityRuleSubject>
package typealias AggregateID = Identifier<AggregateSubject>
package typealias ServerGroupID = Identifier<ServerGroupSubject>
/// A resource provider of placement; a compute host's provider has the same UUID as its hypervisor.
package typealias ProviderID = Identifier<ProviderSubject>

/// Text that names one kind of thing. Identity's ids are 32 hexadecimal digits; hosts have names.
package struct Name<Subject>: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let text: String
    package init(_ text: String) { self.text = text }
    package var description: String { text }
    package static func < (left: Self, right: Self) -> Bool { left.text < right.text }
}

extension Name: Codable {
    package init(from decoder: any Decoder) throws {
        text = try decoder.singleValueContainer().decode(String.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

extension Name: ExpressibleByStringLiteral, ExpressibleByExtendedGraphemeClusterLiteral,
    ExpressibleByUnicodeScalarLiteral
{
    package init(stringLiteral value: String) { text = value }
}

package enum ProjectSubject: Sendable {}
package enum UserSubject: Sendable {}
package enum HostSubject: Sendable {}

package typealias ProjectID = Name<ProjectSubject>
package typealias UserID = Name<UserSubject>
/// A compute host, as topology.yaml names it.
package typealias HostName = Name<HostSubject>

extension Identifier where Subject == ServerSubject {
    /// What the names of our guests begin with on their hosts.
    package static var guestNamePrefix: String { "cellwright-" }

    /// What the server's guest is called on its host; administrators see it.
    package var guestName: String { Self.guestNamePrefix + description }
}
