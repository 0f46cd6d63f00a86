//! The open file limit of the process, and how the listeners share it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    config::Config,
    http::{ConnectionLimits, Timeouts},
};

/// Maximum limit to request. Systems without a limit report much larger numbers, and reject them.
const ENOUGH: u64 = 1 << 20;
/// Number of files reserved for the stores, the exporters, the log and the management listener, whatever happens on the
/// public listener.
const RESERVE: u64 = 192;
/// Number of reserved files that are connections of the management listener.
const MANAGEMENT: usize = 64;

/// Returns the limits of the public and of the management listener.
///
/// Raises the soft limit of open files to the hard limit. The soft limit is low by tradition, for programs that use
/// `select` (systemd sets 1,024, with a hard limit of half a million). Public connections get what is left above
/// [`RESERVE`], so that they never take the last file: a process without free files accepts no connection, not even
/// from a probe.
pub(super) fn connection_limits(config: &Config) -> (ConnectionLimits, ConnectionLimits) {
    let files = raise_limit();
    let settings = &config.connections;
    let reserve = RESERVE.min(files / 2);
    let room = usize::try_from(files - reserve).unwrap_or(usize::MAX);
    if room < settings.most {
        tracing::info!(
            max_connections = room,
            open_files = files,
            "max_connections is reduced to fit the limit of open files"
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

/// Raises the soft limit of open files to the hard limit, and returns the current soft limit.
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
