import NIOCore
import NIOEmbedded
import Testing

@testable import HTTPKit

struct FirstRequestGraceTests {
    /// What the rest of the server is told.
    private final class Listener: ChannelInboundHandler {
        typealias InboundIn = String
        var heard: [String] = []

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { heard.append(unwrapInboundIn(data)) }
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is ChannelShouldQuiesceEvent { heard.append("stop") }
        }
    }

    private let channel: EmbeddedChannel
    private let listener = Listener()

    init() throws {
        channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandlers([FirstRequestGrace(limit: .seconds(2)), listener])
    }

    private func stop() { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }

    @Test func aConnectionThatIsNewWhenTheServerStopsBringsItsRequest() throws {
        stop()
        #expect(listener.heard.isEmpty)
        try channel.writeInbound("request")
        #expect(listener.heard == ["request", "stop"])
        channel.embeddedEventLoop.advanceTime(by: .seconds(3))
        #expect(listener.heard == ["request", "stop"])
    }

    @Test func oneThatBringsNoneIsToldAfterTheLimit() {
        stop()
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(1999))
        #expect(listener.heard.isEmpty)
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(listener.heard == ["stop"])
    }

    @Test func oneThatHasBeenUsedIsToldAtOnce() throws {
        try channel.writeInbound("request")
        stop()
        #expect(listener.heard == ["request", "stop"])
    }

    @Test func oneThatEndsMeanwhileIsToldNothing() throws {
        stop()
        _ = try channel.finish()
        channel.embeddedEventLoop.advanceTime(by: .seconds(3))
        #expect(listener.heard.isEmpty)
    }
}
