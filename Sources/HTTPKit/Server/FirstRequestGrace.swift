import NIOCore

/// Lets a connection bring its first request although the server was asked to stop since it was made.
///
/// Its client is connected and sends; an end without an answer would be a failed request, where the next process, which
/// listens on the same socket, would have served it. An idle connection that has been used ends at once: clients expect
/// that and connect again.
final class FirstRequestGrace: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny

    private let limit: TimeAmount
    private var hasRequest = false
    private var patience: Scheduled<Void>?

    init(limit: TimeAmount) { self.limit = limit }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        hasRequest = true
        context.fireChannelRead(data)
        guard patience != nil else { return }
        endPatience()
        // What comes after this handler has seen the request and ends the connection behind the answer.
        context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is ChannelShouldQuiesceEvent, !hasRequest else {
            return context.fireUserInboundEventTriggered(event)
        }
        guard patience == nil else { return }
        patience = context.eventLoop.assumeIsolated().scheduleTask(in: limit) {
            self.patience = nil
            context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        endPatience()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { endPatience() }

    private func endPatience() {
        patience?.cancel()
        patience = nil
    }
}
