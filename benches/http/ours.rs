//! The service, as the benchmarks start it.

use std::path::Path;

use skriptoteket_testing::{load::Server, ports::free_port};

/// The path of a session check, and of the handlers that it is compared with.
pub(crate) const CHECK: &str = "/api/session";

/// Starts the service in `dir`.
pub(crate) async fn start_ours(dir: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Server> {
    std::fs::create_dir_all(dir)?;
    let mut server = Server::skriptoteket(dir, [free_port(), free_port()], settings)?;
    server.ready().await?;
    Ok(server)
}
