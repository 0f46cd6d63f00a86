//! Services and the authorization server as the world meets them: stock OAuth clients, constant load, crowds, attackers and
//! `kill -9`, all against the real program.
//!
//! | file | what is in it |
//! |---|---|
//! | `operator` | who registers services and rotates secrets and keys, and callers of the API |
//! | `clients` | clients that nobody here wrote (`python/`, `node/`), which `make interop-clients` installs |
//! | `load` | requests at a constant rate, as long as the machine keeps up with it |
//! | `rotation` | secrets and keys rotate under load, and nobody is refused |
//! | `crowds` | many requests at a moment against a limit |
//! | `strangers` | made-up names add no series, meet no 500 and fill no memory |
//! | `secrecy` | no secret, token or assertion leaves in logs, metrics or spans |
//! | `killed` | `kill -9` amid requests loses no total, quota, revocation or used assertion |

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests fail loudly, tell what they measured, counts are whole numbers, and a process lives in real time"
)]

mod clients;
#[allow(dead_code, reason = "this crate does not use all of it")]
#[path = "../pipeline/collector.rs"]
mod collector;
mod crowds;
mod killed;
mod load;
mod operator;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "this crate does not use all of it"
)]
#[path = "../service/page.rs"]
mod page;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "this crate does not use all of it"
)]
#[path = "../service/process.rs"]
mod process;
#[path = "../redis_servers/mod.rs"]
mod redis_servers;
mod rotation;
mod secrecy;
mod strangers;
