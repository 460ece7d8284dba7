//! Work that blocks, on threads of its own.

use forage_api::{ErrorKind, Failure};

/// Does work that blocks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::new(ErrorKind::Internal, "work in the background broke off"))
}
