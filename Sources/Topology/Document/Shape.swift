/// What a mapping of the file may hold. The checks and the published JSON Schema both come from it, so they agree.
struct Shape: Sendable {
    /// Name of the shape; also its definition's in the JSON Schema.
    enum Name: String, Sendable, CaseIterable {
        case topology, lab, api, certificates, root, cell, host, defaults, ssh, hypervisor, capacity, database, broker
        case existingDatabase, existingBroker, services, existingService, bootstrap, project, quota, user, flavor,
            image, network
    }

    struct Field: Sendable {
        let key: TopologyKey
        let type: FieldType
        let isRequired: Bool
        /// For editors: what it means and what it is when left out.
        let summary: String
    }

    indirect enum FieldType: Sendable {
        case text(TextFormat)
        case integer(ClosedRange<Int>)
        case boolean
        case choice([String])
        case shape(Name)
        case list(FieldType)
        /// One text or a mapping; one text or a list: told apart by what is written.
        case either(FieldType, FieldType)
        /// Words to texts.
        case labels
    }

    /// For sentences: `a host`.
    let noun: String
    let summary: String
    let fields: [Field]

    init(_ noun: String, _ summary: String, _ fields: [Field]) {
        self.noun = noun
        self.summary = summary
        self.fields = fields
    }
}

extension Shape.Field {
    static func required(_ key: TopologyKey, _ type: Shape.FieldType, _ summary: String) -> Self {
        .init(key: key, type: type, isRequired: true, summary: summary)
    }

    static func optional(_ key: TopologyKey, _ type: Shape.FieldType, _ summary: String) -> Self {
        .init(key: key, type: type, isRequired: false, summary: summary)
    }
}
