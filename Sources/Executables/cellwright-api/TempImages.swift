import CloudModel
import PostgresClient
/// Until the image service is here, there are no images.
struct PostgresImageRepository: ImageCatalog {
    init(pool: PostgresPool) {}
    func bootableImage(_ id: ImageID, project: ProjectID, isAdmin: Bool) async throws -> BootableImage? {
        nil
    }
}
