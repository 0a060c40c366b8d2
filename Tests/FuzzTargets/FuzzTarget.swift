import CellProtocol
import CloudModel
import ComputeAPI
import ComputeAgent
import Foundation
import HTTPKit
import HTTPTypes
import ImageInspector
import MessageBus
import Primitives
import RabbitMQTransport
import Topology

/// The parsers that strangers' bytes come to. Each takes any bytes and ends: with a value that keeps its promises, or with
/// its own error. Anything else is a trap, which a fuzzer and a test both notice.
package enum FuzzTarget: String, CaseIterable, Sendable {
    /// An image, before anything else opens it.
    case image
    /// An operator's topology file.
    case topology
    /// A message's envelope, and the bodies that cells and agents read.
    case envelope
    /// A request's body as JSON.
    case json
    /// The body of `POST /servers`.
    case order
    /// What a config drive is made of.
    case drive

    package func run(_ bytes: [UInt8]) {
        switch self {
        case .image: Self.image(bytes)
        case .topology: Self.topology(bytes)
        case .envelope: Self.envelope(bytes)
        case .json: Self.json(bytes)
        case .order: Self.order(bytes)
        case .drive: Self.drive(bytes)
        }
    }

    // MARK: Images

    private struct Bytes: ImageSource {
        let bytes: [UInt8]
        var size: UInt64 { UInt64(bytes.count) }
        func read(at offset: UInt64, count: Int) -> [UInt8] { Array(bytes.dropFirst(Int(offset)).prefix(count)) }
    }

    /// Whole and in pieces, under every declaration: both agree on what is accepted.
    private static func image(_ bytes: [UInt8]) {
        for declared in [nil, DiskFormat.raw, .qcow2] {
            let whole = Result { try ImageInspector().inspect(Bytes(bytes: bytes), declared: declared) }
            let pieces = Result { try inspect(bytes, declared) }
            switch (whole, pieces) {
            case (.success(let left), .success(let right)):
                precondition(left == right, "one image, two inspections")
                precondition(declared == nil || left.format == declared, "accepted under another format")
                precondition(left.virtualSizeBytes <= ImageLimits.defaultSizeBytes, "accepted over the limit")
            case (.failure(let error), .failure): precondition(error is ImageInspectionError, "\(error)")
            case (.success, .failure), (.failure, .success): preconditionFailure("the two forms disagree")
            }
        }
    }

    private static func inspect(
        _ bytes: [UInt8], _ declared: DiskFormat?
    ) throws(ImageInspectionError) -> ImageInspection {
        var inspector = IncrementalInspector(declared: declared)
        let step = max(1, bytes.count / 3)
        for start in stride(from: 0, to: bytes.count, by: step) {
            try inspector.feed(bytes[start..<min(start + step, bytes.count)])
        }
        return try inspector.finish()
    }

    // MARK: Topology

    private static func topology(_ bytes: [UInt8]) {
        do {
            _ = try TopologyDocument.read(String(decoding: bytes, as: UTF8.self), file: "fuzz")
        } catch {
            precondition(!error.problems.isEmpty, "refused without a reason")
        }
    }

    // MARK: Messages

    /// The head is what comes before the first zero byte, the body what comes after it.
    private static func envelope(_ bytes: [UInt8]) {
        let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
        let body = parts.count > 1 ? Data(parts[1]) : Data()
        do {
            let envelope = try EnvelopeCodec.decode(head: Data(parts.first ?? []), body: body)
            precondition(envelope.body == body, "the body was changed")
            // What can be read can be written, and reads as the same.
            let head = try EnvelopeCodec.encodeHead(of: envelope)
            let again = try EnvelopeCodec.decode(head: head, body: body)
            precondition(again.kind == envelope.kind && again.messageID == envelope.messageID, "another envelope")
        } catch {
            guard case .malformed = error else { preconditionFailure("\(error)") }
        }
        for read in bodies { read(body) }
    }

    /// What a conductor, a supervisor and an agent read of what others send them.
    private static let bodies: [@Sendable (Data) -> Void] = [
        reader(StepResult.self), reader(GuestLifecycleReport.self), reader(AgentHeartbeat.self),
        reader(AgentHoldings.self), reader(AgentAnswer.self), reader(AgentCommand.self), reader(AgentQuery.self),
        reader(SequencedEvent.self), reader(InventoryRequest.Reply.self), request(BuildRequest.self),
        request(ActRequest.self), request(GetRequest.self), document(CellHeartbeat.self), document(CellStanding.self),
    ]

    private static func reader<Message: Codable & SendableMetatype>(_: Message.Type) -> @Sendable (Data) -> Void {
        { body in
            guard let message = try? JSONDecoder().decode(Message.self, from: body),
                let written = try? JSONEncoder().encode(message)
            else { return }
            let again = try? JSONDecoder().decode(Message.self, from: written)
            precondition(again != nil, "\(Message.self) can't be read as it was written")
        }
    }

    private static func request<Request: CellRequest>(_: Request.Type) -> @Sendable (Data) -> Void {
        { body in
            guard let request = try? Request(body: body) else { return }
            let again = (try? request.body()).flatMap { try? Request(body: $0) }
            precondition(again != nil, "\(Request.self) can't be read as it was written")
        }
    }

    /// What is read and written member by member.
    private static func document<Document: JSONReadable & JSONWritable & Equatable & SendableMetatype>(
        _: Document.Type
    ) -> @Sendable (Data) -> Void {
        { body in
            guard let document = try? Document(json: Array(body)) else { return }
            let again = try? Document(json: document.json)
            precondition(again != nil, "\(Document.self) can't be read as it was written")
        }
    }

    // MARK: Bodies

    private static func json(_ bytes: [UInt8]) {
        let value: JSONValue
        do {
            value = try JSONParser.parse(bytes)
        } catch {
            precondition((0...bytes.count).contains(error.offset), "an error outside the text")
            return
        }
        do {
            let again = try JSONParser.parse(value.text)
            precondition(again == value, "not read as it was written")
            try JSONReader.document(bytes) { reader throws(JSONSyntaxError) in try reader.skip() }
        } catch {
            preconditionFailure("\(error)")
        }
    }

    private static func order(_ bytes: [UInt8]) {
        guard let value = try? JSONParser.parse(bytes) else { return }
        for version in [1, 37, 52, 74, 90, 104] {
            for isAdmin in [false, true] {
                do {
                    let body = try JSONObjectReader(value, path: "body")
                    check(try ServerOrder.read(body, .init(version: version, isAdmin: isAdmin)))
                } catch {
                    precondition([400, 403].contains(error.status.code), "\(error.status)")
                    // Whatever was sent is repeated only in part.
                    precondition(error.message.count < 2000, "a message of \(error.message.count) characters")
                }
            }
        }
    }

    private static func check(_ order: ServerOrder) {
        precondition((1...255).contains(order.name.count), "a name of \(order.name.count) characters")
        precondition((1...order.maximumCount).contains(order.minimumCount), "fewer at most than at least")
        precondition(order.maximumCount <= ServerOrder.countLimit, "too many servers")
        precondition(order.metadata.keys.allSatisfy { !$0.contains("/") && $0.utf8.allSatisfy { $0 >= 0x20 } })
        precondition(order.hostname?.utf8.allSatisfy { $0 != 0x2C && $0 > 0x20 && $0 < 0x7F } ?? true)
    }

    // MARK: Config drives

    private static func drive(_ bytes: [UInt8]) {
        var guest: GuestSpecification
        if let given = try? JSONDecoder().decode(GuestSpecification.self, from: Data(bytes)) {
            guest = given
        } else {
            guest = plainGuest
            let texts = bytes.split(separator: 0, maxSplits: 7, omittingEmptySubsequences: false).map {
                String(decoding: $0, as: UTF8.self)
            }
            func text(_ index: Int) -> String { index < texts.count ? texts[index] : "" }
            guest.name = text(0)
            guest.hostname = text(1)
            guest.keyName = text(2)
            guest.publicKey = text(3)
            guest.metadata = [text(4): text(5)]
            guest.availabilityZone = text(6)
            guest.userData = text(7)
        }
        do {
            let files = try ConfigDrive(guest).files()
            for version in ConfigDrive.versions {
                guard let meta = files["openstack/\(version)/meta_data.json"] else {
                    preconditionFailure("no metadata")
                }
                let document = try JSONParser.parse(Array(meta))
                precondition(document["name"]?.string == guest.name, "another name")
            }
            precondition(
                files.keys.allSatisfy { $0.hasPrefix("openstack/") && !$0.contains("..") }, "a file elsewhere")
        } catch {
            preconditionFailure("\(error)")
        }
    }

    private static let plainGuest: GuestSpecification = {
        let flavor = Flavor(id: "1", name: "m1.nano", vcpus: 1, memoryMiB: 128, diskGiB: 1)
        let zero = UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        let instance = Instance(
            id: ServerID(zero), projectID: "p", userID: "u", name: "", hostname: "", flavor: flavor, image: nil,
            reservationID: "r-1", createdAt: Date(timeIntervalSince1970: 0))
        return GuestSpecification(BuildSpecification(instance: instance, requestID: "-", publicKey: nil, image: nil))
    }()
}
