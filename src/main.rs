//! The `skriptoteket` binary; see the library.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A request allocates about fifty times; with the system's allocator, allocation takes a tenth of the time of a
/// session check.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

// Not `actix_web::main`: under its runtime the OTLP exporter's shutdown over gRPC times out and loses the last data.
#[tokio::main]
async fn main() -> ExitCode {
    skriptoteket::cli::run().await
}
