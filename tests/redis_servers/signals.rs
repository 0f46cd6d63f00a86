//! Signals to processes that a test has started. They are sent by the system call: the `kill` program belongs to
//! `procps`, which a minimal Debian does not have.

use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

/// Sends the signal with this name, without `SIG`, to a process that has not been waited for yet.
pub(crate) fn send_signal(child: &Child, name: &str) {
    let signal = match name {
        "CONT" => Signal::CONT,
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "KILL" => Signal::KILL,
        "QUIT" => Signal::QUIT,
        "STOP" => Signal::STOP,
        "TERM" => Signal::TERM,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "XFSZ" => Signal::XFSZ,
        other => panic!("no test sends SIG{other}"),
    };
    kill_process(Pid::from_child(child), signal)
        .unwrap_or_else(|error| panic!("SIG{name}: {error}"));
}
