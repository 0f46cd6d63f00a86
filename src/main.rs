//! The `skriptoteket` binary; see the library.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A request allocates about fifty times; with the system's allocator, allocation takes a tenth of the time of a
/// session check.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    skriptoteket::cli::run()
}
