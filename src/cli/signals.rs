//! Signals: which of them stop the process gracefully, and which have no effect.
//!
//! | signal | effect |
//! |---|---|
//! | `SIGINT`, `SIGTERM`, `SIGHUP`, `SIGQUIT` | a graceful stop; the last two not if the parent process ignores them (`nohup`) |
//! | `SIGUSR1`, `SIGUSR2` | only a log line: without a handler they would end the process at once |
//! | `SIGXFSZ` | nothing, and no log line: a write beyond the file size limit fails like one on a full disk |
//!
//! There is nothing to reload: settings and secrets are read once, at the start.

use std::{fs, io};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// The number of `SIGXFSZ` on Linux and on macOS.
const FILE_SIZE_EXCEEDED: i32 = 25;

/// A signal, with its common name.
type Named = (SignalKind, &'static str);

/// Receives the signals that request a stop, by name, from here on; ignores the others that would end the process.
///
/// # Errors
///
/// If signals cannot be received.
pub(super) fn stops() -> io::Result<mpsc::UnboundedReceiver<&'static str>> {
    let (asked, stops) = mpsc::unbounded_channel();
    let always = [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
    ];
    let unless_ignored = [
        (SignalKind::hangup(), "SIGHUP"),
        (SignalKind::quit(), "SIGQUIT"),
    ];
    let ignored = ignored_by_parent();
    let heard = unless_ignored
        .into_iter()
        .filter(|(kind, _)| !is_in(ignored, *kind));
    for named in always.into_iter().chain(heard) {
        let asked = asked.clone();
        // Fails if the receiver has been dropped: the stop is under way.
        on_each(named, move |name| {
            let _ = asked.send(name);
        })?;
    }
    for named in [
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
    ] {
        on_each(named, |signal| {
            tracing::info!(signal, "the signal is ignored");
        })?;
    }
    // Every write beyond the limit sends one, also that of a log line: each line would cause another, forever.
    let exceeded = SignalKind::from_raw(FILE_SIZE_EXCEEDED);
    on_each((exceeded, "SIGXFSZ"), |_| {})?;
    Ok(stops)
}

fn on_each((kind, name): Named, act: impl Fn(&'static str) + Send + 'static) -> io::Result<()> {
    let mut signals = signal(kind)?;
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            act(name);
        }
    });
    Ok(())
}

/// Returns the signals that were ignored when this process was started, as Linux reports them: bit n - 1 is signal n.
/// None if that cannot be read.
fn ignored_by_parent() -> u64 {
    fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status))
}

fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0)
}

fn is_in(mask: u64, kind: SignalKind) -> bool {
    let number = u32::try_from(kind.as_raw_value()).unwrap_or(0);
    let bit = number.checked_sub(1).and_then(|bit| 1_u64.checked_shl(bit));
    bit.is_some_and(|bit| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_parent_ignores_is_read_from_its_mask() {
        // As under `nohup` in a background job of a shell without job control: HUP (1), INT (2), QUIT (3), PIPE (13).
        let mask = ignored("Name:\tskriptoteket\nSigIgn:\t0000000000001007\nSigCgt:\t0\n");
        assert!(is_in(mask, SignalKind::hangup()) && is_in(mask, SignalKind::quit()));
        assert!(!is_in(mask, SignalKind::terminate()));
        for status in ["", "SigIgn: no number\n"] {
            assert_eq!(ignored(status), 0);
        }
    }
}
