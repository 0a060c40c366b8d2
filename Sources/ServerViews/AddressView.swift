package import CloudModel
package import Primitives

/// The addresses of one network card, as elements of an array.
package enum AddressView {
    /// `isExtended` adds the type of the address and the card's MAC.
    package static func write(_ interface: NetworkInterface, isExtended: Bool, to writer: inout JSONWriter) {
        for address in interface.addresses {
            writer.object { writer in
                writer.field("version", address.address.utf8.contains(UInt8(ascii: ":")) ? 6 : 4)
                writer.field("addr", address.address)
                guard isExtended else { return }
                writer.field("OS-EXT-IPS:type", "fixed")
                writer.field("OS-EXT-IPS-MAC:mac_addr", interface.macAddress)
            }
        }
    }
}
