//! Child processes that end with the test process, and signals to them.

use std::{
    process::{Child, Command},
    sync::{OnceLock, mpsc},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Order = (Command, mpsc::Sender<Child>);

/// Spawns from a thread that lives as long as the process. The parent-death signal is sent when the *thread* that
/// spawned the child ends. The thread of a test would end too early.
pub fn spawn_for_life(command: Command) -> Child {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in orders {
                let child = command
                    .spawn()
                    .unwrap_or_else(|error| panic!("{command:?}: {error}"));
                let _ = answer.send(child);
            }
        });
        sender
    });
    let (answer, child) = mpsc::channel();
    spawner.send((command, answer)).unwrap();
    child.recv().unwrap()
}

/// Sends the signal with this name, without `SIG`, to a process that has not been waited for yet. It is sent by the
/// system call: the `kill` program belongs to `procps`, which a minimal Debian does not have.
pub fn send_signal(child: &Child, name: &str) {
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
