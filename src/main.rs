//! The `skriptoteket` binary; see the library.

use std::process::ExitCode;

/// A request takes some fifty small pieces of memory and gives them back at once; the system's allocator spends a tenth of a
/// session check on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Not `actix_web::main`: under its runtime the OTLP exporter's shutdown over gRPC times out and loses what came last.
#[tokio::main]
async fn main() -> ExitCode {
    skriptoteket::cli::run().await
}
