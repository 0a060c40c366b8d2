import CLibpq

extension Connection {
    /// Writes one statement into libpq's buffer, preparing it first where the connection does not know it yet. Runs under
    /// the mutex. False when the connection is broken.
    func send(
        _ statement: Statement, on handle: LibpqHandle, _ cache: inout StatementCache, _ steps: inout [Exchange.Step]
    ) -> Bool {
        guard statement.isPrepared else {
            steps.append(.run)
            let text = statement.sentText
            return statement.withParameters { types, values, lengths, formats in
                PQsendQueryParams(
                    handle.raw, text, Int32(statement.binds.count), types, values, lengths, formats, 1) == 1
            }
        }
        let key = StatementCache.Key(statement)
        var name = cache.name(for: key)
        if name == nil {
            let fresh = cache.insert(key)
            for old in cache.takeDoomed() {
                guard PQsendQueryParams(handle.raw, "deallocate \(old)", 0, nil, nil, nil, nil, 0) == 1 else {
                    return false
                }
                steps.append(.deallocate(name: old))
            }
            guard PQsendPrepare(handle.raw, fresh, statement.sentText, Int32(key.types.count), key.types) == 1 else {
                return false
            }
            steps.append(.prepare(key, name: fresh))
            name = fresh
        }
        guard let name else { return false }
        steps.append(.run)
        return statement.withParameters { _, values, lengths, formats in
            PQsendQueryPrepared(handle.raw, name, Int32(statement.binds.count), values, lengths, formats, 1) == 1
        }
    }
}

extension Statement {
    typealias Parameters<R> = (
        _ types: UnsafePointer<Oid>?, _ values: UnsafePointer<UnsafePointer<CChar>?>?, _ lengths: UnsafePointer<Int32>?,
        _ formats: UnsafePointer<Int32>?
    ) -> R

    /// The values as libpq wants them; valid inside `body`.
    func withParameters<R>(_ body: Parameters<R>) -> R {
        let count = binds.count
        guard count > 0 else { return body(nil, nil, nil, nil) }
        return bytes.withUnsafeBytes { bytes in
            withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: count) { values in
                withUnsafeTemporaryAllocation(of: Int32.self, capacity: count * 2) { numbers in
                    withUnsafeTemporaryAllocation(of: Oid.self, capacity: count) { types in
                        for (index, bind) in binds.enumerated() {
                            let start = bind.range.flatMap { bytes.baseAddress?.advanced(by: $0.lowerBound) }
                            values.initializeElement(at: index, to: start?.assumingMemoryBound(to: CChar.self))
                            numbers.initializeElement(at: index, to: Int32(bind.range?.count ?? 0))
                            numbers.initializeElement(at: count + index, to: bind.type == .inferred ? 0 : 1)
                            types.initializeElement(at: index, to: bind.type.rawValue)
                        }
                        let lengths = numbers.baseAddress.map { UnsafePointer($0) }
                        return body(
                            types.baseAddress, UnsafePointer(values.baseAddress), lengths, lengths?.advanced(by: count))
                    }
                }
            }
        }
    }
}
