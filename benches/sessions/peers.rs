//! The peers to compare with. `make bench-redis` builds them.

use std::{path::PathBuf, process::Stdio};

use anyhow::ensure;
use skriptoteket_testing::{
    load::{Server, ending_with_thread},
    ports::free_port,
    redis::RedisServer,
};

fn stock_program() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/peers/release/stock-session")
}

fn express_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/peers/express-session")
}

/// Fails with the missing files before anything is measured.
pub(crate) fn check_built() -> anyhow::Result<()> {
    let modules = express_directory().join("node_modules");
    for path in [stock_program(), modules] {
        ensure!(
            path.exists(),
            "{} is missing: run `make bench-redis`, which builds it",
            path.display()
        );
    }
    Ok(())
}

/// Returns the Redis database of the service. Each server has its own, so that none sees keys of another.
pub(crate) fn our_url(redis: &RedisServer) -> String {
    format!("{}/0", redis.url())
}

fn stock_url(redis: &RedisServer) -> String {
    format!("{}/1", redis.url())
}

/// Returns the Redis database of express-session.
pub(crate) fn express_url(redis: &RedisServer) -> String {
    format!("{}/2", redis.url())
}

/// Starts actix-session with its own Redis store and, in the same process, the bare handler.
pub(crate) async fn stock_and_bare(redis: &RedisServer) -> anyhow::Result<(Server, String)> {
    let (port, bare_port) = (free_port(), free_port());
    let mut command = ending_with_thread(stock_program());
    command
        .args([port.to_string(), bare_port.to_string(), stock_url(redis)])
        .stdout(Stdio::null());
    let mut server = Server::spawn(&mut command, port)?;
    server.ready().await?;
    Ok((server, format!("http://127.0.0.1:{bare_port}")))
}

/// Starts express-session on connect-redis.
pub(crate) async fn express(redis: &RedisServer) -> anyhow::Result<Server> {
    let port = free_port();
    let mut command = ending_with_thread("node");
    command
        .arg(express_directory().join("server.js"))
        .args([port.to_string(), express_url(redis)])
        .env("NODE_ENV", "production")
        .stdout(Stdio::null());
    let mut server = Server::spawn(&mut command, port)?;
    server.ready().await?;
    Ok(server)
}
