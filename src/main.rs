//! The `skriptoteket` binary; see the library.

use std::process::ExitCode;

// Not `actix_web::main`: under its runtime the OTLP exporter's shutdown over gRPC times out and loses what came last.
#[tokio::main]
async fn main() -> ExitCode {
    skriptoteket::cli::run().await
}
