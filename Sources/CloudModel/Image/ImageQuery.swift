package import FoundationEssentials

/// One page of a list of images.
package struct ImageQuery: Sendable, Equatable {
    /// Through whose eyes: everybody sees public images and those of the own project; community images only when asked for.
    package enum Viewer: Sendable, Equatable {
        case administrator
        case project(ProjectID?)
    }

    package enum Visibility: Sendable, Equatable {
        /// What the viewer sees without asking.
        case usual
        case only(ImageVisibility)
        case all
    }

    package enum Comparison: String, Sendable { case eq, neq, gt, gte, lt, lte }

    package struct TimeFilter: Sendable, Equatable {
        package enum Field: Sendable { case createdAt, updatedAt }
        package var field: Field
        package var comparison: Comparison
        package var time: Date
        package init(field: Field, comparison: Comparison, time: Date) {
            self.field = field
            self.comparison = comparison
            self.time = time
        }
    }

    package enum SortKey: String, Sendable, CaseIterable {
        case name, status, size, id
        case diskFormat = "disk_format"
        case containerFormat = "container_format"
        case createdAt = "created_at"
        case updatedAt = "updated_at"
    }

    package struct Sort: Sendable, Equatable {
        package var key: SortKey
        package var isAscending: Bool
        package init(_ key: SortKey, isAscending: Bool) {
            self.key = key
            self.isAscending = isAscending
        }
    }

    package var viewer: Viewer
    package var visibility = Visibility.usual
    /// Nil wants any; more than one value is any of them.
    package var ids: [ImageID]?
    package var names: [String]?
    package var statuses: [String]?
    package var diskFormats: [String]?
    package var containerFormats: [String]?
    package var owner: ProjectID?
    /// All of them.
    package var tags: [String] = []
    package var sizeAtLeast: Int64?
    package var sizeAtMost: Int64?
    package var isProtected: Bool?
    package var isHidden = false
    package var properties: [String: String] = [:]
    package var times: [TimeFilter] = []
    /// The last key is always the id, so that the order is total.
    package var sort: [Sort]
    /// Rows after this image, in the order of `sort`.
    package var marker: ImageID?
    package var limit: Int

    package init(viewer: Viewer, sort: [Sort] = [], limit: Int = 25) {
        self.viewer = viewer
        self.sort = Self.total(sort)
        self.limit = limit
    }

    /// Newest first, unless the client wants another order.
    package static func total(_ sort: [Sort]) -> [Sort] {
        let isAscending = sort.last?.isAscending ?? false
        var keys = sort
        for key in [SortKey.createdAt, .id] where !keys.contains(where: { $0.key == key }) {
            keys.append(Sort(key, isAscending: isAscending))
        }
        return keys
    }
}
