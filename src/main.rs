//! The `skriptoteket` binary; see the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

// A password check takes 19 MiB. The C library's allocator keeps such blocks in the arena of every thread that ever made
// one: some 250 MiB after twenty logins, for good. This one gives them back.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

// Not `actix_web::main`: under its runtime the OTLP exporter's shutdown over gRPC times out and loses what came last.
#[tokio::main]
async fn main() -> ExitCode {
    skriptoteket::cli::run().await
}
