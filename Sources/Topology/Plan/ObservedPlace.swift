package import CloudModel

/// Everything that was found on one host and its servers, in one cell, or in the cloud as a whole, in one order.
struct ObservedPlace: Sendable {
    /// A resource's kind and name within its place.
    struct Name: Hashable, Sendable, Comparable {
        let kind: Resource.Kind
        /// With ``Resource/Place/mark`` where the name of the host is, so that hosts alike have the same names.
        let text: String

        static func < (left: Name, right: Name) -> Bool {
            left.text == right.text ? left.kind.rawValue < right.kind.rawValue : left.text < right.text
        }
    }

    /// What is not as in the place with which this one shares its memory.
    struct Difference: Sendable {
        let position: Int
        let observation: ObservedFacts.Observation
    }

    /// Ascending, none twice.
    private(set) var names: [Name] = []
    /// What was found of each, the differences apart.
    private(set) var common: [ObservedFacts.Observation] = []
    /// By position, ascending.
    private(set) var differences: [Difference] = []

    /// What was found of the resource with the name at this position.
    func observation(at position: Int) -> ObservedFacts.Observation {
        differences.first { $0.position == position }?.observation ?? common[position]
    }

    subscript(name: Name) -> ObservedFacts.Observation? {
        get {
            let position = position(of: name)
            return holds(name, at: position) ? observation(at: position) : nil
        }
        set {
            settle()
            let position = position(of: name)
            switch (holds(name, at: position), newValue) {
            case (true, let new?): common[position] = new
            case (true, nil):
                names.remove(at: position)
                common.remove(at: position)
            case (false, let new?):
                names.insert(name, at: position)
                common.insert(new, at: position)
            case (false, nil): return
            }
        }
    }

    /// Adds what was found, in place of what was known of the same resources.
    mutating func add(_ found: [(name: Name, observation: ObservedFacts.Observation)]) {
        var new = found.sorted { $0.name < $1.name }[...]
        var merged = ObservedPlace()
        merged.names.reserveCapacity(names.count + new.count)
        merged.common.reserveCapacity(names.count + new.count)
        for (position, name) in names.enumerated() {
            while let next = new.first, next.name < name { merged.append(new.removeFirst()) }
            if new.first?.name != name { merged.append((name, observation(at: position))) }
        }
        new.forEach { merged.append($0) }
        self = merged
    }

    /// Takes the memory of `other`, which has the same names, for everything in which it is equal.
    mutating func share(_ other: ObservedPlace) {
        settle()
        differences = common.indices.filter { common[$0] != other.common[$0] }.map {
            Difference(position: $0, observation: common[$0])
        }
        names = other.names
        common = other.common
    }

    /// Only what `isKept` says.
    func filter(_ isKept: (Name, ObservedFacts.Observation) -> Bool) -> ObservedPlace {
        var kept = ObservedPlace()
        for (position, name) in names.enumerated() {
            let observation = observation(at: position)
            if isKept(name, observation) { kept.append((name, observation)) }
        }
        return kept
    }

    /// Has everything in memory of its own, without differences.
    private mutating func settle() {
        for difference in differences { common[difference.position] = difference.observation }
        differences = []
    }

    private mutating func append(_ found: (name: Name, observation: ObservedFacts.Observation)) {
        names.append(found.name)
        common.append(found.observation)
    }

    private func holds(_ name: Name, at position: Int) -> Bool { position < names.count && names[position] == name }

    /// Where the name is, or would be.
    private func position(of name: Name) -> Int {
        var (low, high) = (0, names.count)
        while low < high {
            let middle = (low + high) / 2
            if names[middle] < name { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension ObservedPlace: Equatable {
    static func == (left: ObservedPlace, right: ObservedPlace) -> Bool {
        var (left, right) = (left, right)
        left.settle()
        right.settle()
        return left.names == right.names && left.common == right.common
    }
}

extension Resource {
    /// Where a resource is.
    package struct Place: Hashable, Sendable {
        /// Stands for the host's own name in names of things; no path or name has it.
        static let mark = "\0"

        package var host: HostName?
        package var cell: CellPath?

        /// The name of a thing there as every host of its kind has it.
        func relative(_ name: String) -> String {
            guard let host, name.holds(host.text) else { return name }
            return TextTemplate(name, marks: [host.text]).text([Self.mark])
        }

        /// The name of which ``relative(_:)`` made this.
        func absolute(_ name: String) -> String {
            guard let host, name.holds(Self.mark) else { return name }
            return TextTemplate(name, marks: [Self.mark]).text([host.text])
        }
    }
}

extension Resource.ID {
    package var place: Resource.Place { .init(host: host, cell: cell) }

    var placeName: ObservedPlace.Name { .init(kind: kind, text: place.relative(name)) }

    init(_ name: ObservedPlace.Name, in place: Resource.Place) {
        self.init(name.kind, host: place.host, cell: place.cell, name: place.absolute(name.text))
    }
}

extension String {
    /// Whether `other`, unless it is empty, is in it, byte for byte.
    fileprivate func holds(_ other: String) -> Bool {
        var (text, other) = (self, other)
        return text.withUTF8 { text in
            other.withUTF8 { other in
                guard !other.isEmpty, text.count >= other.count else { return false }
                return (0...text.count - other.count).contains { start in
                    text[start] == other[0] && text[start...].starts(with: other)
                }
            }
        }
    }
}
