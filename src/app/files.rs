//! The file limit of the process, and how the listeners share it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    config::Config,
    http::{ConnectionLimits, Timeouts},
};

/// The most that is asked for. Systems without a limit answer much larger numbers, and refuse them.
const ENOUGH: u64 = 1 << 20;
/// How many files the stores, the exporters, the log and the management listener may have, whatever happens on the public
/// one.
const RESERVE: u64 = 192;
/// How many of them are connections of the management listener.
const MANAGEMENT: usize = 64;

/// The limits of the public and of the management listener.
///
/// The soft limit of open files is raised to the hard one: the soft one is low by tradition, for programs that use
/// `select` (systemd leaves 1,024, and half a million above it). What is left above [`RESERVE`] is for public connections, so that
/// they never take the last file: a process that has none accepts nobody, not even a probe.
pub(super) fn connection_limits(config: &Config) -> (ConnectionLimits, ConnectionLimits) {
    let files = raise_limit();
    let settings = &config.connections;
    let reserve = RESERVE.min(files / 2);
    let room = usize::try_from(files - reserve).unwrap_or(usize::MAX);
    if room < settings.most {
        tracing::info!(
            max_connections = room,
            open_files = files,
            "max_connections is lowered to what the limit of open files leaves"
        );
    }
    let timeouts = Timeouts {
        head: settings.head_timeout,
        body: settings.body_timeout,
        keep_alive: settings.keep_alive,
        close: super::listeners::CLOSE_TIMEOUT,
    };
    let limits = |most| ConnectionLimits { most, timeouts };
    (limits(settings.most.min(room)), limits(MANAGEMENT))
}

/// Raises the soft limit of open files to the hard one, and says what it is now.
fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(ENOUGH).min(ENOUGH);
    let now = current.unwrap_or(ENOUGH);
    if now >= wanted {
        return now;
    }
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum,
        },
    );
    match raised {
        Ok(()) => wanted,
        Err(error) => {
            tracing::debug!(error = %error, "the limit of open files cannot be raised");
            now
        }
    }
}
