import PostgresClient
import TestSupport
import Testing

@Suite(needsServer, .timeLimit(.minutes(5)))
struct NotificationTests {
    private func notification(_ element: PostgresNotifications.Element?) -> String? {
        guard case .notification(let notification) = element else { return nil }
        return notification.payload
    }

    @Test func `notifications arrive in order, once the listening is announced`() async throws {
        try await withPool { pool async throws in
            var iterator = pool.listen(channel: "Weird \"channel\"").makeAsyncIterator()
            #expect(await iterator.next() == .listening)
            let payloads = ["one", "", "zwei 東京 🦊", String(repeating: "x", count: 7999)]
            for payload in payloads {
                try await pool.execute("select pg_notify(\("Weird \"channel\"")::text, \(payload)::text)")
            }
            try await pool.execute("notify other, 'not for us'")
            for payload in payloads { #expect(notification(await iterator.next()) == payload) }
        }
    }

    @Test func `a listener that was cut off listens again and says so`() async throws {
        try await withPool { pool async throws in
            var iterator = pool.listen(channel: "news").makeAsyncIterator()
            #expect(await iterator.next() == .listening)
            for round in 0..<3 {
                // The one that was ended before may still be there for a moment.
                let isAlone = try await eventually {
                    try await pool.query(
                        """
                        select 1 from pg_stat_activity \
                        where datname = current_database() and query like 'listen%'
                        """
                    ).count == 1
                }
                #expect(isAlone)
                let ended = try await pool.query(
                    """
                    select pg_terminate_backend(pid) from pg_stat_activity \
                    where datname = current_database() and query like 'listen%'
                    """)
                #expect(ended.count == 1)
                #expect(await iterator.next() == .reconnected)
                try await pool.execute("select pg_notify('news', \("\(round)"))")
                #expect(notification(await iterator.next()) == "\(round)")
            }
        }
    }

    @Test func `a slow consumer is told to read again instead of filling the memory`() async throws {
        try await withPool { pool async throws in
            var iterator = pool.listen(channel: "flood").makeAsyncIterator()
            #expect(await iterator.next() == .listening)
            try await pool.execute("select pg_notify('flood', n::text) from generate_series(1, 5000) n")
            try await pool.execute("select pg_notify('flood', 'last')")
            var count = 0
            var wasToldToReadAgain = false
            while let element = await iterator.next() {
                count += 1
                if element == .reconnected { wasToldToReadAgain = true }
                if notification(element) == "last" { break }
            }
            #expect(count <= 5002)
            #expect(wasToldToReadAgain || count == 5001)
        }
    }

    @Test func `listening ends with its task`() async throws {
        try await withPool { pool async throws in
            let notifications = pool.listen(channel: "c")
            await withTaskGroup(of: Int.self) { group in
                group.addTask {
                    var count = 0
                    for await _ in notifications { count += 1 }
                    return count
                }
                group.cancelAll()
                #expect(await group.next() ?? 0 <= 1)
            }
        }
    }

    @Test func `listening ends when the pool is closed or the sequence is let go`() async throws {
        try await withPool { pool async throws in
            let observer = PostgresPool(pool.configuration)
            let listeners: Statement =
                "select 1 from pg_stat_activity where query like 'listen%' and datname = current_database()"
            do {
                var brief = pool.listen(channel: "brief").makeAsyncIterator()
                #expect(await brief.next() == .listening)
                #expect(try await observer.query(listeners).count == 1)
            }
            #expect(try await eventually { try await observer.query(listeners).isEmpty })
            var iterator = pool.listen(channel: "c").makeAsyncIterator()
            #expect(await iterator.next() == .listening)
            await pool.close()
            #expect(await iterator.next() == nil)
            #expect(try await eventually { try await observer.query(listeners).isEmpty })
            await observer.close()
        }
    }
}
