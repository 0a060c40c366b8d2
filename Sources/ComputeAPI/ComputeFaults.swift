import CellProtocol
import CloudModel
import HTTPKit
import HTTPTypes

/// The one table from domain errors to the compute API's answers.
enum ComputeFaults {
    @Sendable static func fault(_ error: any Error) -> APIFault? {
        switch error {
        case let error as QuotaExceeded: quota(error)
        case let error as ServerGroupNotFound: .badRequest("Instance group \(error.id) could not be found.")
        case let error as PortReservationError: reservation(error)
        case let error as DirectoryError: directory(error)
        case let error as CellError: cell(error)
        case let error as NetworkError: network(error)
        default: nil
        }
    }

    private static func quota(_ error: QuotaExceeded) -> APIFault {
        switch error.resource {
        case "key_pairs": .forbidden("Quota exceeded, too many key pairs.")
        case "server_groups": .forbidden("Quota exceeded, too many server groups.")
        case "server_group_members": .forbidden("Quota exceeded, too many servers in group")
        case "metadata_items": .forbidden("Maximum number of metadata items exceeds \(error.limit)")
        default:
            .forbidden(
                "Quota exceeded for \(error.resource): Requested \(error.requested), but already used \(error.used) "
                    + "of \(error.limit) \(error.resource)")
        }
    }

    private static func reservation(_ error: PortReservationError) -> APIFault {
        switch error {
        case .networkNotFound(let id): .badRequest("Network \(id) could not be found.")
        case .portNotFound(let id): .badRequest("Port id \(id) could not be found.")
        case .portInUse(let id): .conflict("Port \(id) is still in use.")
        case .securityGroupNotFound(let name): .badRequest("Security group \(name.prefix(255)) not found.")
        case .ambiguousSecurityGroup(let name):
            .conflict("Multiple security groups found matching '\(name.prefix(255))'. Use an ID to be more specific.")
        case .ambiguousNetwork:
            .conflict("Multiple possible networks found, use a Network ID to be more specific.")
        case .networkHasNoSubnet(let id):
            .badRequest("Network \(id) requires a subnet in order to boot instances on.")
        case .noMoreAddresses(let id): .badRequest("No fixed IP addresses available for network: \(id)")
        case .addressInUse(let address): .badRequest("Fixed IP address \(address) is already in use.")
        case .invalidAddress(let address): .badRequest("Fixed IP address \(address) is not valid for the network.")
        case .quota(let error):
            .forbidden("Maximum number of ports exceeded: \(error.used) of \(error.limit) are used.")
        }
    }

    private static func directory(_ error: DirectoryError) -> APIFault {
        switch error {
        case .incomplete:
            .unavailable("The list of servers is being rebuilt. Try again in a moment.", after: 2)
        case .markerNotFound(let id): .badRequest("marker [\(id)] not found")
        case .invalidPattern(let pattern): .badRequest("Invalid regular expression: \(pattern.prefix(255))")
        }
    }

    private static func cell(_ error: CellError) -> APIFault? {
        switch error {
        case .unreachable, .timedOut, .overloaded, .unknownCell:
            .unavailable(
                "The part of the cloud that holds this server can't be reached at the moment. Try again later.",
                after: 5)
        case .failed, .malformed, .cancelled: nil
        }
    }

    private static func network(_ error: NetworkError) -> APIFault? {
        if case .overQuota = error { return .forbidden("Quota exceeded for the project's networks or ports.") }
        return nil
    }
}
