/// What was found of each resource: millions of things in a large cloud, most of them alike from host to host.
///
/// Kept by place. Hosts that hold the same things share one list of names and every attribute in which they are equal, so
/// that a host costs what is its own, and hosts can be compared with what is wanted without looking anything up.
package struct Observations: Sendable {
    /// Lists of names that are remembered before it begins again.
    private static let exampleLimit = 100

    private(set) var places: [Resource.Place: ObservedPlace] = [:]
    /// A host for each list of names that was added lately.
    private var examples: [[ObservedPlace.Name]: ObservedPlace] = [:]

    /// How many resources were found.
    package private(set) var count = 0

    package init() {}

    package init(_ found: [Resource.ID: ObservedFacts.Observation]) { add(found) }

    /// Adds what a look found, in place of what was known of the same resources.
    package mutating func add(_ found: [Resource.ID: ObservedFacts.Observation]) {
        var byPlace: [Resource.Place: [(name: ObservedPlace.Name, observation: ObservedFacts.Observation)]] = [:]
        for (id, observation) in found { byPlace[id.place, default: []].append((id.placeName, observation)) }
        for (place, found) in byPlace {
            var content = places[place] ?? ObservedPlace()
            count -= content.names.count
            content.add(found)
            count += content.names.count
            if place.host != nil { share(&content) }
            places[place] = content
        }
    }

    private mutating func share(_ content: inout ObservedPlace) {
        if let example = examples[content.names] {
            content.share(example)
        } else {
            if examples.count == Self.exampleLimit { examples = [:] }
            examples[content.names] = content
        }
    }

    /// What was found of one resource; `nil` when it was not looked at or is not there.
    package subscript(id: Resource.ID) -> ObservedFacts.Observation? {
        get { places[id.place]?[id.placeName] }
        set {
            var content = places[id.place] ?? ObservedPlace()
            count -= content.names.count
            content[id.placeName] = newValue
            count += content.names.count
            places[id.place] = content.names.isEmpty ? nil : content
        }
    }

    /// Every resource, in no order.
    package var ids: [Resource.ID] {
        places.flatMap { place, content in content.names.map { Resource.ID($0, in: place) } }
    }

    /// Only what `isKept` says.
    package func filter(_ isKept: (Resource.ID, ObservedFacts.Observation) -> Bool) -> Observations {
        var kept = Observations()
        for (place, content) in places {
            let own = content.filter { isKept(Resource.ID($0, in: place), $1) }
            if !own.names.isEmpty { kept.places[place] = own }
            kept.count += own.names.count
        }
        return kept
    }
}

extension Observations: Equatable {
    package static func == (left: Observations, right: Observations) -> Bool { left.places == right.places }
}
