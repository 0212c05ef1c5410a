//! The OpenAPI document, made from the handlers themselves.

use utoipa::OpenApi;

use super::{control, observe};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Isthmus replicator",
        description = "The observe listener serves the GET paths, the control listener all of them."
    ),
    paths(
        observe::metrics,
        observe::health,
        observe::ready,
        observe::status,
        control::pause,
        control::resume,
    )
)]
struct Offered;

/// What both listeners offer.
pub fn document() -> utoipa::openapi::OpenApi {
    Offered::openapi()
}
