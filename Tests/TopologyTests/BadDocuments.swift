private let header = "apiVersion: cellwright/v1\nname: c\nhosts: [control-1]\n"

extension BadDocument {
    static let all: [BadDocument] = form + keys + hosts + cells + servers + roles + services + bootstrap

    private static let form: [BadDocument] = [
        .init("an empty file", ""),
        .init("only comments", "# nothing\n"),
        .init("a list", "- a\n- b\n"),
        .init("a word", "hello\n"),
        .init("broken YAML", "name: [a, b\nregion: x\n"),
        .init("a tab", "name: c\n\tregion: x\n"),
        .init("an anchor in itself", header + "cells: &all\n  - *all\n"),
        .init("an alias that names nothing", header + "cells: *others\n"),
        .init("a binary file", "\u{7f}ELF\u{2}\u{1}\u{1}\u{0}\u{0}"),
        .init("a web page", "<!DOCTYPE html>\n<html><body>Not found: 404</body></html>\n"),
        .init("JSON cut short", "{\"apiVersion\": \"cellwright/v1\", \"name\": \"c\", \"cells\": [{\"name\": \"a\"\n"),
        .init(
            "nested too deep",
            header + "cells: " + String(repeating: "[", count: 80) + String(repeating: "]", count: 80) + "\n"),
        .init("two documents", header + "cells: []\n---\nname: d\n"),
    ]

    private static let keys: [BadDocument] = [
        .init(
            "no apiVersion", "name: c\nhosts: [control-1]\ncells: []\n"),
        .init("another apiVersion", "apiVersion: cellwright/v2\nname: c\nhosts: [control-1]\ncells: []\n"),
        .init("a misspelt key", header + "cels: []\n"),
        .init("a key like none", header + "cells: []\nzookeeper: 3\n"),
        .init("a key given twice", header + "cells: []\nname: d\nregion: x\n"),
        .init("a key given twice in one line", header + "cells:\n  - {name: a, hosts: [], name: b}\n"),
        .init("two keys given twice", header + "region: a\nregion: b\nregion: c\ncells: []\nname: d\n"),
        .init("a merge key", header + "x: &x {hosts: []}\ncells:\n  - name: a\n    <<: *x\n"),
        .init("nothing behind a key", header + "region:\ncells: []\n"),
        .init("a number for a text", "apiVersion: cellwright/v1\nname: 7\nhosts: [control-1]\ncells: []\n"),
        .init("a text for a number", header + "api: {port: \"8774\"}\ncells: []\n"),
        .init("a port out of bounds", header + "api: {port: 70000}\ncells: []\n"),
        .init("a text for a mapping", header + "api: control-1\ncells: []\n"),
        .init("a mapping for a list", header + "cells: {name: a}\n"),
        .init(
            "five mistakes at once",
            "apiVersion: cellwright/v1\nname: My Cloud\nregon: x\nhosts: [control-1]\n"
                + "cells:\n  - name: North\n    hosts: []\n  - name: south\n    host: []\n    control: contrl-1\n"),
    ]

    private static let hosts: [BadDocument] = [
        .init("a host given twice", header + "cells:\n  - name: a\n    hosts: [a-1, a-1]\n"),
        .init("a host in two cells", header + "cells:\n  - {name: a, hosts: [h-1]}\n  - {name: b, hosts: [h-1]}\n"),
        .init("overlapping ranges", header + "cells:\n  - name: a\n    hosts:\n      - h[1-4]\n      - h[4-5]\n"),
        .init("a machine that is a compute host too", header + "cells:\n  - name: a\n    hosts: [control-1]\n"),
        .init("a bad host name", header + "cells:\n  - name: a\n    hosts: [Host_1]\n"),
        .init("a backward range", header + "cells:\n  - name: a\n    hosts: [\"h[9-1]\"]\n"),
        .init("an open range", header + "cells:\n  - name: a\n    hosts: [\"h[1-\"]\n"),
        .init("a huge range", header + "cells:\n  - name: a\n    hosts: [\"h[1-99999]\"]\n"),
        .init(
            "a misspelt key of a host",
            header + "cells:\n  - name: a\n    hosts:\n      - name: h-1\n        adress: 10.0.0.1\n"),
        .init(
            "an address given twice",
            header + "cells:\n  - name: a\n    hosts:\n      - {name: h-1, address: 10.0.0.1}\n"
                + "      - {name: h-2, address: 10.0.0.1}\n"),
        .init(
            "an address range of another length",
            header + "cells:\n  - name: a\n    hosts:\n      - {name: \"h[1-3]\", address: \"10.0.0.[1-2]\"}\n"),
        .init(
            "an address outside the lab",
            header + "lab: {network: 10.77.0.0/24}\ncells:\n  - name: a\n    hosts:\n"
                + "      - {name: h-1, address: 10.78.0.5}\n      - {name: h-2, address: 10.77.0.1}\n"),
        .init(
            "a lab that is too small",
            header + "lab: {network: 10.77.0.0/28}\ncells:\n  - {name: a, hosts: [\"h[1-9]\"]}\n"),
        .init("a network with host bits", header + "lab: {network: 10.77.0.1/24}\ncells: []\n"),
        .init(
            "an address that is none", header + "cells:\n  - {name: a, hosts: [{name: h, address: 10.0.0.256}]}\n"),
        .init("a driver like one", header + "defaults: {hypervisor: {driver: libvrt}}\ncells: []\n"),
        .init("a virtType like none", header + "defaults: {hypervisor: {virtType: xen-hvm}}\ncells: []\n"),
        .init("a jump that is none", header + "defaults: {ssh: {jump: \"a@b:x\"}}\ncells: []\n"),
        .init("a label that is a number", header + "defaults: {labels: {rack: 7}}\ncells: []\n"),
    ]

    private static let cells: [BadDocument] = [
        .init("a cell given twice", header + "cells:\n  - {name: a, hosts: []}\n  - {name: a, hosts: []}\n"),
        .init("cells and hosts", header + "cells:\n  - name: a\n    hosts: []\n    cells: []\n"),
        .init("neither cells nor hosts", header + "cells:\n  - name: a\n"),
        .init("the reserved name", header + "cells:\n  - {name: root, hosts: []}\n"),
        .init("a bad name", header + "cells:\n  - {name: -a, hosts: []}\n"),
        .init("an unknown control host", header + "cells:\n  - {name: a, control: control-2, hosts: []}\n"),
        .init("a control host listed twice", header + "root: {control: [control-1, control-1]}\ncells: []\n"),
        .init("no control host to choose", "apiVersion: cellwright/v1\nname: c\nhosts: [a, b]\ncells: []\n"),
        .init("an unknown API host", header + "api: {host: nowhere-at-all}\ncells: []\n"),
        .init(
            "a path that is too long",
            header + "cells:\n  - name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n    cells:\n"
                + "      - {name: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, hosts: []}\n"),
    ]

    private static let servers: [BadDocument] = [
        .init("an unknown database host", header + "root: {database: {host: contro-1}}\ncells: []\n"),
        .init(
            "two ports on one host",
            header + "root: {database: {port: 5433}, broker: {port: 5673}}\ncells:\n"
                + "  - {name: a, hosts: [], database: {port: 5434}, broker: {port: 5674}}\n"),
        .init(
            "an existing server with a host",
            header + "root:\n  database:\n    host: control-1\n    existing:\n"
                + "      url: postgresql://admin@db:5432/x\n      passwordEnv: PG\n  broker:\n    existing:\n"
                + "      url: amqp://admin@mq\n      managementURL: http://mq:15672\ncells: []\n"),
        .init(
            "a password in a URL",
            header + "root:\n  database:\n    existing:\n      url: postgresql://admin:pw@db:5432/x\n"
                + "      passwordEnv: PG\n      passwordFile: f\ncells: []\n"),
    ]

    private static let roles: [BadDocument] = [
        .init(
            "a role that contradicts",
            "apiVersion: cellwright/v1\nname: c\nhosts:\n  - {name: m-1, roles: [control]}\n  - {name: m-2, roles: [control, api]}\n"
                + "root: {control: m-1}\napi: {host: m-1}\ncells: []\n"),
        .init(
            "two hosts for one server",
            "apiVersion: cellwright/v1\nname: c\nhosts:\n  - {name: \"m-[1-2]\", roles: [database]}\n  - m-3\n"
                + "root: {control: m-3, broker: {existing: {url: \"amqp://a@mq\", managementURL: \"http://mq\", passwordEnv: P}}}\ncells: []\n"
        ),
        .init(
            "a role that cannot be here",
            header
                + "cells:\n  - name: a\n    hosts:\n      - {name: h-1, roles: [control]}\n      - {name: h-2, roles: [compute, databse]}\n"
        ),
        .init(
            "a machine that computes",
            "apiVersion: cellwright/v1\nname: c\nhosts: [{name: m-1, roles: [control, compute]}]\ncells: []\n"),
        .init(
            "a server with a role beside an existing one",
            "apiVersion: cellwright/v1\nname: c\nhosts: [{name: m-1, roles: [control, database]}]\n"
                + "root: {database: {existing: {url: \"postgresql://a@db/x\", passwordEnv: P}}}\ncells: []\n"),
    ]

    private static let services: [BadDocument] = [
        .init(
            "existing services",
            header
                + "services:\n  identity: {url: \"https://keystone.example/v3\", user: admin, passwordEnv: OS_PASSWORD}\n"
                + "  image: {url: glance.example, user: admin}\n  network: existing\n  volume: embedded\ncells: []\n"),
        .init("a switch that is none", header + "tls: true\ncells: []\n"),
        .init("a switch like one", header + "tls: onn\ncells: []\n"),
        .init(
            "more listen addresses than hosts",
            header + "api: {listen: [10.0.0.1, 10.0.0.2]}\ncells: []\n"),
        .init(
            "limits that are none",
            header
                + "cells: []\nbootstrap:\n  projects:\n    - name: p\n      quota: {instances: -2, cores: 4, ports: many}\n"
        ),
    ]

    private static let bootstrap: [BadDocument] = [
        .init(
            "names given twice",
            header + "cells: []\nbootstrap:\n  projects: [{name: p}, {name: p}]\n"
                + "  flavors:\n    - {name: f, vcpus: 1, memoryMiB: 1, diskGiB: 0}\n"
                + "    - {name: f, vcpus: 1, memoryMiB: 1, diskGiB: 0}\n"),
        .init(
            "an unknown project",
            header + "cells: []\nbootstrap:\n  projects: [{name: demo}]\n  users: [{name: u, project: dmeo}]\n"),
        .init(
            "an unknown role",
            header + "cells: []\nbootstrap:\n  users: [{name: u, project: admin, roles: [memer]}]\n"),
        .init(
            "an administrator that is none",
            header + "cells: []\nbootstrap:\n  users: [{name: admin, project: admin}]\n"),
        .init(
            "a flavor without memory and with none",
            header + "cells: []\nbootstrap:\n  flavors: [{name: f, vcpus: 0, diskGiB: 1}]\n"),
        .init(
            "networks that can't be",
            header + "lab: {}\ncells: []\nbootstrap:\n  networks:\n    - {name: a, cidr: 10.77.0.0/25}\n"
                + "    - {name: b, cidr: 10.20.0.0/24, gateway: 10.21.0.1}\n    - {name: c, cidr: 10.20.0.0/33}\n"
                + "    - {name: d, cidr: 10.30.0.0/24, shared: yes, dns: 9.9.9.9}\n"),
        .init(
            "an image format", header + "cells: []\nbootstrap:\n  images: [{name: i, file: f, diskFormat: qcow}]\n"),
    ]
}
