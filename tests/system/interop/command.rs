//! The command line beside a running server.

use std::{path::Path, process::Output};

use skriptoteket_testing::{operator::UNLIMITED, program::command_in};

use super::rotation::QUICK_KEYS;

/// Runs the command line next to a server in `dir`.
pub(crate) fn command(dir: &Path, redis_url: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = command_in(dir);
    command.args(arguments);
    for (name, value) in UNLIMITED.into_iter().chain(QUICK_KEYS) {
        let name = format!("SKRIPTOTEKET_{}", name.to_uppercase());
        command.env(name, value);
    }
    if let Some(url) = redis_url {
        command.env("SKRIPTOTEKET_REDIS_URL", url);
    }
    command.output().unwrap()
}
