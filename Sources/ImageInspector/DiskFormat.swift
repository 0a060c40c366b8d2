/// The formats in which we accept a disk image. Raw values are the image API's `disk_format`.
package enum DiskFormat: String, Sendable, Hashable, CaseIterable, Codable {
    case raw
    case qcow2
}

/// What an image turned out to be, whether we accept it or not.
package enum DetectedFormat: String, Sendable, Hashable, CaseIterable {
    /// Nothing that is known by its marks: the bytes of a disk as they are.
    case raw
    case qcow2
    /// The first version of QEMU's format, which is not ours to read.
    case qcow
    case qed
    case vmdk
    /// A VMDK's text file, which names other files as its data.
    case vmdkDescriptor = "vmdk-descriptor"
    case vhd
    case vhdx
    case vdi
    case iso
    case luks
    case parallels
    case bochs
    case cloop
    case dmg

    /// The accepted format that this is, if any.
    package var accepted: DiskFormat? {
        switch self {
        case .raw: .raw
        case .qcow2: .qcow2
        case .qcow, .qed, .vmdk, .vmdkDescriptor, .vhd, .vhdx, .vdi, .iso, .luks, .parallels, .bochs, .cloop, .dmg: nil
        }
    }
}

/// How a raw disk is divided, as far as its first sectors say.
package enum Partitioning: String, Sendable, Hashable {
    case none
    case mbr
    case gpt
}
