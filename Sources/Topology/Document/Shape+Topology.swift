extension Shape {
    private static let ports = 1...65535
    private static let control = FieldType.either(.text(.hostReference), .list(.text(.hostReference)))

    static func named(_ name: Name) -> Shape {
        switch name {
        case .topology: topology
        case .lab: lab
        case .api: api
        case .certificates: certificates
        case .root: root
        case .cell: cell
        case .host: host
        case .defaults: defaults
        case .ssh: ssh
        case .hypervisor: hypervisor
        case .capacity: capacity
        case .database: database
        case .broker: broker
        case .existingDatabase: existingDatabase
        case .existingBroker: existingBroker
        case .services: services
        case .existingService: existingService
        case .bootstrap: bootstrap
        case .project: project
        case .quota: quota
        case .user: user
        case .flavor: flavor
        case .image: image
        case .network: network
        }
    }

    private static let topology = Shape(
        "the topology", "A Cellwright cloud: its root, its tree of cells, their hosts.",
        [
            .required(.apiVersion, .choice([Topology.apiVersion]), "The version of this document's form."),
            .required(.name, .text(.label), "The cloud's name."),
            .optional(.region, .text(.title), "The region in the service catalog. RegionOne unless given."),
            .optional(
                .lab, .shape(.lab), "Make the hosts as containers on this machine. Left out: hosts that exist already."),
            .optional(
                .tls, .choice(Topology.TLSMode.allCases.map(\.rawValue)),
                "Encrypt connections. auto unless given: on when anything listens or is reached off loopback."),
            .optional(.api, .shape(.api), "Where the REST services answer."),
            .optional(.certificates, .shape(.certificates), "How long certificates last."),
            .optional(.services, .shape(.services), "Which services are the cloud's own. All unless given."),
            .optional(.defaults, .shape(.defaults), "What hosts have unless they or their cell say otherwise."),
            .optional(.hosts, .list(hostEntry), "Machines outside the cells, for control planes."),
            .optional(.root, .shape(.root), "The root cell."),
            .required(.cells, .list(.shape(.cell)), "The cells below the root."),
            .optional(.bootstrap, .shape(.bootstrap), "Objects that the cloud has from the start."),
        ])

    private static let hostEntry = FieldType.either(.text(.hostPattern), .shape(.host))

    private static let lab = Shape(
        "a lab", "Hosts as containers on this machine.",
        [
            .optional(
                .network, .text(.cidr),
                "The network of the hosts; its first address is this machine's. \(Topology.Lab.defaultNetwork) unless given."
            )
        ])

    private static let api = Shape(
        "the API", "Where the REST services answer.",
        [
            .optional(
                .host, control, "The host or hosts that run the API. The root's first control host unless given."),
            .optional(
                .listen, .either(.text(.ipv4), .list(.text(.ipv4))),
                "The address to listen on, or one for each host. 0.0.0.0 unless given."),
            .optional(
                .port, .integer(ports), "The one port of all services. \(Topology.API.defaultPort) unless given."),
            .optional(.publicURL, .text(.webURL), "What users are told. Made of host and port unless given."),
        ])

    private static let certificates = Shape(
        "certificates", "How long the certificates of processes and servers last. The tool makes and renews them.",
        [
            .optional(
                .validDays, .integer(1...3650),
                "Days from making to end. \(Topology.CertificateSettings.defaultValidDays) unless given."),
            .optional(
                .renewDays, .integer(0...3650),
                "An apply renews what has at most so many days left. \(Topology.CertificateSettings.defaultRenewDays) unless given."
            ),
        ])

    private static let root = Shape(
        "the root", "The root cell: scheduling, the directory of cells, the API's database.",
        [
            .optional(
                .control, control, "The host or hosts of its supervisor. The only machine under hosts unless given."),
            .optional(.database, .shape(.database), "Its PostgreSQL. On the control host unless given."),
            .optional(.broker, .shape(.broker), "Its RabbitMQ. On the control host unless given."),
        ])

    private static let cell = Shape(
        "a cell", "A cell has cells below it or hosts, not both.",
        [
            .required(.name, .text(.label), "Unique among the cells with the same parent."),
            .optional(
                .control, control, "The host or hosts of its supervisor and conductor. The parent's unless given."),
            .optional(
                .database, .shape(.database),
                "Its PostgreSQL. Left out: on its own control host if it names one, else the parent's server."),
            .optional(
                .broker, .shape(.broker),
                "Its RabbitMQ. Left out: on its own control host if it names one, else the parent's server."),
            .optional(.defaults, .shape(.defaults), "What hosts below have unless they say otherwise."),
            .optional(.cells, .list(.shape(.cell)), "The cells below this one."),
            .optional(.hosts, .list(hostEntry), "Its compute hosts."),
        ])

    private static let host = Shape(
        "a host", "One machine, or several by a range.",
        [
            .required(.name, .text(.hostPattern), "Unique in the topology. A range stands for many: rack7-[01-40]."),
            .optional(
                .address, .text(.addressPattern),
                "How the tool and other hosts reach it; may have a range as long as the name's. The name unless given."),
            .optional(
                .roles, .list(.choice(RoleClaims.Role.allCases.map(\.rawValue))),
                "What it is for: api, control, database and broker here or in its cell, instead of naming it there."),
        ] + hostSettings)

    private static let hostSettings: [Field] = [
        .optional(.ssh, .shape(.ssh), "How the tool logs in."),
        .optional(.hypervisor, .shape(.hypervisor), "What runs the guests."),
        .optional(.capacity, .shape(.capacity), "What may be used instead of what the host has."),
        .optional(.availabilityZone, .text(.title), "nova unless given."),
        .optional(.labels, .labels, "Words for operators, such as rack: r7."),
    ]

    private static let defaults = Shape("defaults", "Settings that hosts inherit.", hostSettings)

    private static let ssh = Shape(
        "ssh", "How the tool logs in. Host keys are always checked.",
        [
            .optional(.user, .text(.account), "root unless given; others need sudo without a password."),
            .optional(.port, .integer(ports), "22 unless given."),
            .optional(.identityFile, .text(.path), "A private key. OpenSSH's own choice unless given."),
            .optional(.jump, .text(.jump), "A host to go through: [user@]host[:port]."),
        ])

    private static let hypervisor = Shape(
        "a hypervisor", "What runs the guests.",
        [
            .optional(
                .driver, .choice(Topology.Hypervisor.Driver.allCases.map(\.rawValue)), "libvirt unless given."),
            .optional(
                .virtType, .choice(Topology.Hypervisor.VirtType.allCases.map(\.rawValue)),
                "auto unless given: KVM where the processor really offers it, else emulation."),
            .optional(.uri, .text(.path), "libvirt's connection. \(Topology.Hypervisor.defaultURI) unless given."),
        ])

    private static let capacity = Shape(
        "a capacity", "What the scheduler may use.",
        [
            .optional(.vcpus, .integer(1...4096), "Processors."),
            .optional(.memoryMiB, .integer(1...67_108_864), "Memory in MiB."),
            .optional(.diskGiB, .integer(0...16_777_216), "Disk in GiB."),
        ])

    private static let database = Shape(
        "a database", "A PostgreSQL server: on a host of ours, or an existing one.",
        [
            .optional(.host, .text(.hostReference), "A host of this topology, where the tool installs the server."),
            .optional(.port, .integer(ports), "5432 unless given."),
            .optional(.existing, .shape(.existingDatabase), "A server that somebody else runs."),
        ])

    private static let broker = Shape(
        "a broker", "A RabbitMQ server: on a host of ours, or an existing one.",
        [
            .optional(.host, .text(.hostReference), "A host of this topology, where the tool installs the server."),
            .optional(.port, .integer(ports), "5672 unless given."),
            .optional(.managementPort, .integer(ports), "15672 unless given."),
            .optional(.existing, .shape(.existingBroker), "A server that somebody else runs."),
        ])

    private static let existingDatabase = Shape(
        "an existing database", "A PostgreSQL server that exists, and its administrator.",
        [
            .required(.url, .text(.postgresURL), "With the administrator's name, without the password.")
        ] + password + protection)

    private static let existingBroker = Shape(
        "an existing broker", "A RabbitMQ server that exists, and its administrator.",
        [
            .required(.url, .text(.amqpURL), "With the administrator's name, without the password."),
            .required(.managementURL, .text(.webURL), "The management plugin's address."),
        ] + password + protection)

    private static let protection: [Field] = [
        .optional(
            .tls, .choice(Topology.TLSMode.allCases.map(\.rawValue)),
            "Whether it is reached over TLS. auto unless given: as the cloud, and always off loopback."),
        .optional(
            .caFile, .text(.path),
            "Certificates by which it is verified, relative to this file. The hosts' own authorities unless given."),
    ]

    private static let service = FieldType.either(
        .choice([embedded]), .shape(.existingService))

    /// The word for a service of the cloud's own.
    static let embedded = "embedded"

    private static let services = Shape(
        "services", "Which services are the cloud's own: embedded, or a mapping that says where an existing one is.",
        [
            .optional(.identity, service, "embedded unless given. An existing one is not supported yet."),
            .optional(.image, service, "embedded unless given. An existing one is not supported yet."),
            .optional(.network, service, "embedded unless given. An existing one is not supported yet."),
        ])

    private static let existingService = Shape(
        "an existing service", "A service that somebody else runs, and its administrator.",
        [
            .required(.url, .text(.webURL), "Where it answers."),
            .required(.user, .text(.title), "The administrator's name."),
        ] + password)

    private static let password: [Field] = [
        .optional(.passwordFile, .text(.path), "A file whose first line is the password, relative to this file."),
        .optional(.passwordEnv, .text(.environmentName), "An environment variable that holds the password."),
    ]

    private static let bootstrap = Shape(
        "bootstrap", "Objects that the cloud has from the start. Project, user and role admin always exist.",
        [
            .optional(.projects, .list(.shape(.project)), "Projects."),
            .optional(.users, .list(.shape(.user)), "Users."),
            .optional(.flavors, .list(.shape(.flavor)), "Flavors."),
            .optional(.images, .list(.shape(.image)), "Images, uploaded once."),
            .optional(.networks, .list(.shape(.network)), "Networks with one subnet each."),
        ])

    private static let project = Shape(
        "a project", "A project of users.",
        [
            .required(.name, .text(.title), "Unique."),
            .optional(.description, .text(.prose), "For people."),
            .optional(.quota, .shape(.quota), "What it may have. Limits that are left out stay as they are."),
        ])

    private static let limit = FieldType.integer(-1...2_147_483_647)

    private static let quota = Shape(
        "a quota", "Limits of a project; -1 is none.",
        [
            .optional(.instances, limit, "Servers."),
            .optional(.vcpus, limit, "Processors of its servers."),
            .optional(.memoryMiB, limit, "Memory of its servers in MiB."),
            .optional(.keyPairs, limit, "Key pairs of each user."),
            .optional(.networks, limit, "Networks."),
            .optional(.ports, limit, "Ports."),
        ])

    private static let user = Shape(
        "a user", "A user. The password is made by the tool unless a file or a variable gives it.",
        [
            .required(.name, .text(.title), "Unique."),
            .required(.project, .text(.title), "The project in which it has its roles."),
            .optional(.roles, .list(.choice(Topology.User.roles)), "[member] unless given."),
        ] + password)

    private static let flavor = Shape(
        "a flavor", "A size of servers.",
        [
            .required(.name, .text(.title), "Unique."),
            .required(.vcpus, .integer(1...4096), "Processors."),
            .required(.memoryMiB, .integer(1...67_108_864), "Memory in MiB."),
            .required(.diskGiB, .integer(0...16_777_216), "Root disk in GiB; 0 is as large as the image."),
        ])

    private static let image = Shape(
        "an image", "An image from a file.",
        [
            .required(.name, .text(.title), "Unique."),
            .required(.file, .text(.path), "The image file, relative to this file."),
            .optional(
                .diskFormat, .choice(Topology.Image.DiskFormat.allCases.map(\.rawValue)), "qcow2 unless given."),
        ])

    private static let network = Shape(
        "a network", "A network with one subnet.",
        [
            .required(.name, .text(.title), "Unique."),
            .required(.cidr, .text(.cidr), "The subnet."),
            .optional(.gateway, .text(.ipv4), "The subnet's first address unless given."),
            .optional(.dns, .list(.text(.ipv4)), "Name servers that guests are told."),
            .optional(.shared, .boolean, "Whether every project may use it. false unless given."),
        ])
}
