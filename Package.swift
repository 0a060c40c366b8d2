// swift-tools-version: 6.2
import PackageDescription

// House settings, on every target: Swift 6 mode, strict imports, warnings are errors.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

// Libraries from outside, by the name under which targets ask for them.
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let asn1 = Target.Dependency.product(name: "SwiftASN1", package: "swift-asn1")
let certificates = Target.Dependency.product(name: "X509", package: "swift-certificates")
let collections = Target.Dependency.product(name: "Collections", package: "swift-collections")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let httpClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTesting = Target.Dependency.product(name: "HummingbirdTesting", package: "hummingbird")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let lifecycleTestKit = Target.Dependency.product(
    name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioFileSystem = Target.Dependency.product(name: "_NIOFileSystem", package: "swift-nio")
let nioExtras = Target.Dependency.product(name: "NIOExtras", package: "swift-nio-extras")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func executable(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies + [argumentParser, logging],
        path: "Sources/Executables/\(name)",
        swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, path: "Tests/\(name)", resources: resources, swiftSettings: settings)
}

let package = Package(
    name: "cellwright",
    products: [
        .executable(name: "cellwright", targets: ["cellwright"]),
        .executable(name: "cellwright-api", targets: ["cellwright-api"]),
        .executable(name: "cellwright-supervisor", targets: ["cellwright-supervisor"]),
        .executable(name: "cellwright-conductor", targets: ["cellwright-conductor"]),
        .executable(name: "cellwright-compute", targets: ["cellwright-compute"]),
        .executable(name: "cellwright-simulate", targets: ["cellwright-simulate"]),
        // Of tests alone: what is loaded into processes whose clock is moved.
        .library(name: "MovedClock", type: .dynamic, targets: ["MovedClock"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", exact: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", exact: "1.21.1"),
        .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", exact: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", exact: "1.35.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-system", exact: "1.8.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swift-server/async-http-client", exact: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", exact: "1.0.2"),
    ],
    targets: [
        // C libraries
        .systemLibrary(name: "CLibpq", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CRabbitMQ", pkgConfig: "librabbitmq", providers: [.apt(["librabbitmq-dev"])]),
        .systemLibrary(name: "CLibvirt", pkgConfig: "libvirt", providers: [.apt(["libvirt-dev"])]),
        .systemLibrary(name: "CMalloc"),

        // Primitives, domain and ports
        module("Primitives", []),
        module(
            "ServiceKit",
            ["CMalloc", "Primitives", crypto, logging, metrics, lifecycle, unixSignals, nioCore, nioPosix, nioHTTP1]),
        module("CloudModel", ["Primitives"]),
        module("SagaEngine", ["Primitives"]),
        module("PlacementCore", ["CloudModel", "Primitives"]),
        module("MessageBus", ["Primitives", crypto, deque]),
        module("CellProtocol", ["CloudModel", "MessageBus", "Primitives"]),
        module("ServerViews", ["CloudModel", "CellProtocol", "Primitives"]),
        module("HypervisorDriver", ["CloudModel", "Primitives"]),
        module(
            "ServerLifecycle",
            [
                "CloudModel", "SagaEngine", "PlacementCore", "CellProtocol", "HypervisorDriver", "MessageBus",
                "Primitives",
            ]),

        // Adapters
        module("PostgresClient", ["Primitives", "CLibpq"]),
        module("RabbitMQTransport", ["MessageBus", "Primitives", "CRabbitMQ", deque]),
        tests("MessageBusTests", ["MessageBus", "Primitives", "TestSupport"]),
        tests("RabbitMQTransportTests", ["RabbitMQTransport", "MessageBus", "Primitives", "TestSupport", "CRabbitMQ"]),
        module("LibvirtDriver", ["HypervisorDriver", "CloudModel", "Primitives", "CLibvirt"]),
        module(
            "Persistence",
            [
                "CloudModel", "SagaEngine", "PlacementCore", "CellProtocol", "MessageBus", "ServerLifecycle",
                "PostgresClient",
                "Primitives",
            ]),

        // REST services
        module(
            "HTTPKit",
            [
                "CloudModel", "Primitives", hummingbird, hummingbirdCore, httpTypes, lifecycle, logging, metrics,
                nioCore, nioExtras, nioPosix, nioSSL,
            ]),
        tests(
            "HTTPKitTests",
            [
                "HTTPKit", "CloudModel", "Primitives", hummingbird, hummingbirdTesting, httpTypes, lifecycle, logging,
                nioCore, nioEmbedded,
            ]),
        module(
            "IdentityAPI",
            [
                "HTTPKit", "CellProtocol", "CloudModel", "Primitives", hummingbird, httpTypes, crypto, cryptoExtras,
                lifecycle, logging, nioPosix,
            ]),
        tests(
            "IdentityAPITests",
            [
                "IdentityAPI", "HTTPKit", "CellProtocol", "CloudModel", "Primitives", "TestSupport", hummingbird,
                hummingbirdTesting, httpTypes, logging, nioCore,
            ]),
        module(
            "ImageAPI",
            [
                "HTTPKit", "CloudModel", "ImageInspector", "Primitives", hummingbird, httpTypes, nioCore, nioPosix,
                crypto, systemPackage, lifecycle, logging,
            ]),
        tests(
            "ImageAPITests",
            [
                "ImageAPI", "HTTPKit", "ImageInspector", "CloudModel", "Primitives", "TestSupport", hummingbird,
                hummingbirdTesting, httpTypes, logging, lifecycle, nioCore, systemPackage,
            ]),
        module("ImageInspector", ["Primitives"]),
        module("NetworkAPI", ["HTTPKit", "CloudModel", "Primitives", hummingbird, httpTypes, nioCore]),
        module(
            "CellsAPI",
            ["HTTPKit", "CellProtocol", "CloudModel", "MessageBus", "Primitives", hummingbird, httpTypes, nioCore]),
        module(
            "ComputeAPI",
            [
                "HTTPKit", "ServerViews", "CloudModel", "CellProtocol", "MessageBus", "Primitives", hummingbird,
                httpTypes, nioCore, crypto,
            ]),

        // Services
        module(
            "Supervisor",
            [
                "ServerLifecycle", "ServerViews", "CellProtocol", "CloudModel", "PlacementCore", "SagaEngine",
                "MessageBus", "ServiceKit", "Primitives", lifecycle, logging, metrics,
            ]),
        module(
            "Conductor",
            [
                "ServerLifecycle", "CellProtocol", "CloudModel", "SagaEngine", "MessageBus", "ServiceKit", "Primitives",
                deque, lifecycle, logging, metrics,
            ]),
        module(
            "ComputeAgent",
            [
                "CellProtocol", "CloudModel", "HypervisorDriver", "ImageInspector", "MessageBus", "ServiceKit",
                "Primitives",
                lifecycle, logging, httpClient, nioCore, subprocess, systemPackage, crypto, nioFileSystem, nioHTTP1,
                nioSSL,
            ]),

        module(
            "Simulation",
            [
                "CellProtocol", "CloudModel", "Conductor", "MessageBus", "Primitives", "ServerLifecycle", "Supervisor",
                httpClient, lifecycle, logging, nioCore, nioHTTP1,
            ]),

        module(
            "SimulationKit",
            [
                "CellProtocol", "CloudModel", "ComputeAgent", "Conductor", "HypervisorDriver", "MessageBus",
                "PlacementCore", "Primitives", "SagaEngine", "ServerLifecycle", "Supervisor", heap, lifecycle, logging,
            ]),

        // Deploying
        module("Topology", ["CloudModel", "MessageBus", "Primitives", crypto, yams]),
        module(
            "Deployer",
            [
                "Topology", "CloudModel", "MessageBus", "Primitives", logging, subprocess, systemPackage, httpClient,
                nioCore, nioHTTP1, crypto, asn1, certificates,
            ]),

        // Executables: the only places that name adapters
        executable(
            "cellwright",
            ["Deployer", "Topology", "CloudModel", "ServiceKit", "Primitives", systemPackage, unixSignals]),
        executable(
            "cellwright-api",
            [
                "IdentityAPI", "ImageAPI", "NetworkAPI", "ComputeAPI", "CellsAPI", "HTTPKit", "Persistence",
                "PostgresClient",
                "ServerLifecycle", "CellProtocol", "CloudModel", "MessageBus", "ServiceKit", "Primitives", "BusSetup",
                "DatabaseSetup", lifecycle, systemPackage,
            ]),
        executable(
            "cellwright-supervisor",
            [
                "Supervisor", "Persistence", "PostgresClient", "RabbitMQTransport", "CellProtocol", "CloudModel",
                "MessageBus", "ServerLifecycle", "ServiceKit", "ServerViews", "Primitives", "BusSetup", "DatabaseSetup",
                lifecycle,
            ]),
        executable(
            "cellwright-conductor",
            [
                "Conductor", "Persistence", "PostgresClient", "CloudModel", "MessageBus", "ServiceKit", "Primitives",
                "BusSetup", "DatabaseSetup",
                lifecycle,
            ]),
        executable(
            "cellwright-compute",
            [
                "ComputeAgent", "LibvirtDriver", "HypervisorDriver", "CloudModel", "MessageBus", "ServiceKit",
                "Primitives",
                "BusSetup", lifecycle,
            ]),
        executable(
            "cellwright-simulate",
            [
                "Simulation", "Deployer", "Topology", "Persistence", "PostgresClient", "RabbitMQTransport",
                "CellProtocol", "CloudModel", "MessageBus", "ServerLifecycle", "ServiceKit", "Primitives",
                systemPackage,
            ]),
        .target(
            name: "BusSetup",
            dependencies: ["RabbitMQTransport", "MessageBus", "CellProtocol", "ServiceKit", "Primitives", logging],
            path: "Sources/Executables/BusSetup", swiftSettings: settings),
        .target(
            name: "DatabaseSetup", dependencies: ["PostgresClient", "ServiceKit", "Primitives", lifecycle, logging],
            path: "Sources/Executables/DatabaseSetup", swiftSettings: settings),

        // Tests
        .target(
            name: "TestSupport",
            dependencies: [
                "PostgresClient", "RabbitMQTransport", "MessageBus", "Primitives", "Deployer", subprocess,
                systemPackage, httpClient, nioCore, nioHTTP1, nioPosix, nioSSL, "CloudModel",
            ],
            path: "Tests/TestSupport", swiftSettings: settings),
        .target(name: "MovedClock", path: "Tests/MovedClock"),
        tests("DevCloudTests", ["TestSupport", "Deployer"]),
        tests(
            "ExistingServerTests",
            [
                "Deployer", "Topology", "CloudModel", "MessageBus", "PostgresClient", "Primitives", "TestSupport",
                systemPackage,
            ]),
        .target(
            name: "CloudHarness",
            dependencies: ["Deployer", "Primitives", httpClient, nioCore, nioHTTP1, yams],
            path: "Tests/CloudHarness", swiftSettings: settings),
        .executableTarget(
            name: "cellwright-bench",
            dependencies: [
                "CloudHarness", "CloudModel", "Deployer", "Primitives", "Topology", argumentParser, subprocess,
                systemPackage,
            ],
            path: "Tests/Benchmarks", exclude: ["list-thresholds.json", "plan-thresholds.json", "thresholds.json"],
            swiftSettings: settings),
        tests(
            "EndToEndTests",
            [
                "CellProtocol", "CloudHarness", "CloudModel", "Deployer", "MessageBus", "PostgresClient", "Primitives",
                "RabbitMQTransport", "TestSupport", subprocess, systemPackage,
            ]),
        tests("CloudModelTests", ["CloudModel", "Primitives"]),
        tests("PlacementCoreTests", ["PlacementCore", "CloudModel", "Primitives"]),
        tests(
            "ComputeAgentTests",
            [
                "ComputeAgent", "CellProtocol", "CloudModel", "HypervisorDriver", "MessageBus", "Primitives",
                "TestSupport", logging,
            ]),
        tests(
            "PersistenceTests",
            [
                "Persistence", "CellProtocol", "CloudModel", "MessageBus", "PlacementCore", "PostgresClient",
                "ServerLifecycle", "Primitives", "TestSupport", "APITestSupport",
            ]),
        tests("StyleTests", []),
        tests("TopologyTests", ["Topology", "CloudModel", "Primitives"]),
        tests("PrimitivesTests", ["Primitives"]),
        tests("ServiceKitTests", ["ServiceKit", "Primitives", logging, lifecycleTestKit]),
        tests("CellProtocolTests", ["CellProtocol", "CloudModel", "MessageBus", "Primitives"]),
        tests(
            "DeployerTests",
            [
                "Deployer", "Topology", "CloudModel", "MessageBus", "Primitives", systemPackage, asn1, certificates,
                crypto,
            ]),
        .executableTarget(
            name: "cellwright-seeds", dependencies: ["SimulationKit", argumentParser], path: "Tests/Seeds",
            swiftSettings: settings),
        tests("SeedTests", ["SimulationKit", "Primitives", "TestSupport"]),
        tests(
            "SimulationTests",
            [
                "Simulation", "CellProtocol", "CloudModel", "MessageBus", "Persistence", "PostgresClient", "Primitives",
                "ServerLifecycle", "TestSupport", logging,
            ]),
        tests("SagaEngineTests", ["SagaEngine", "Primitives"]),
        tests(
            "LeafCellTests",
            [
                "Conductor", "Supervisor", "ComputeAgent", "HypervisorDriver", "Persistence", "PostgresClient",
                "ServerLifecycle", "SagaEngine", "CellProtocol", "CloudModel", "MessageBus", "RabbitMQTransport",
                "Primitives", "TestSupport", logging, lifecycle,
            ]),
        tests("PostgresClientTests", ["PostgresClient", "Primitives", "TestSupport"]),
        tests(
            "HypervisorDriverTests",
            ["HypervisorDriver", "LibvirtDriver", "CloudModel", "Primitives", subprocess, systemPackage]),
        tests("ImageInspectorTests", ["ImageInspector", subprocess, systemPackage]),
        .target(
            name: "APITestSupport",
            dependencies: [
                "HTTPKit", "ServerViews", "CellProtocol", "CloudModel", "MessageBus", "Primitives", hummingbird,
                hummingbirdTesting, httpTypes, logging, nioCore,
            ],
            path: "Tests/APITestSupport", swiftSettings: settings),
        tests(
            "CellsAPITests",
            ["CellsAPI", "APITestSupport", "HTTPKit", "CellProtocol", "CloudModel", "Primitives", httpTypes]),
        tests("NetworkAPITests", ["NetworkAPI", "APITestSupport", "HTTPKit", "CloudModel", "Primitives", httpTypes]),
        tests(
            "ComputeAPITests",
            [
                "ComputeAPI", "APITestSupport", "HTTPKit", "CellProtocol", "CloudModel", "Primitives", httpTypes,
                subprocess, systemPackage,
            ]),
        tests("ServerViewsTests", ["ServerViews", "CellProtocol", "CloudModel", "Primitives"]),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "CellProtocol", "CloudModel", "ComputeAPI", "ComputeAgent", "HTTPKit", "ImageInspector", "MessageBus",
                "Primitives", "RabbitMQTransport", "Topology", httpTypes,
            ],
            path: "Tests/FuzzTargets", swiftSettings: settings),
        tests("FuzzTests", ["FuzzTargets"]),
    ],
    swiftLanguageModes: [.v6]
)

// libFuzzer has a main function of its own, so this is built by deploy/fuzz alone.
if Context.environment["CELLWRIGHT_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "cellwright-fuzz", dependencies: ["FuzzTargets"], path: "Tests/Fuzzer",
            swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])]))
}
