//! The `skriptoteket` binary; see the library.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Memory comes and goes some fifty times in a request; the system's allocator takes a tenth of the time of a session check.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

// Not `actix_web::main`: under its runtime the OTLP exporter's shutdown over gRPC times out and loses what came last.
#[tokio::main]
async fn main() -> ExitCode {
    skriptoteket::cli::run().await
}
