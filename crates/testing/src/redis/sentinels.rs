//! A master, a replica, and the Sentinels that watch them.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{RedisServer, Wire};
use crate::{ports::free_port, process::spawn_for_life, wait::wait_until};

/// The name of the master in the configuration of the Sentinels.
pub const MASTER: &str = "sessions";

/// A master, a replica, and Sentinels that wait two seconds before they consider a server down: on a busy machine a
/// healthy server may not respond for a while.
#[derive(Debug)]
pub struct SentinelPair {
    /// The first server is the initial master; after a failover the second one is.
    pub servers: [RedisServer; 2],
    sentinels: Vec<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl SentinelPair {
    /// Starts all servers, and waits until they know each other.
    pub fn start(sentinels: usize) -> Self {
        let master = RedisServer::start(&[]);
        let replica = RedisServer::start_replica(&master, &[]);
        let sentinels: Vec<Sentinel> = (0..sentinels)
            .map(|_| Sentinel::start(master.port()))
            .collect();
        let others = sentinels.len() - 1;
        for sentinel in &sentinels {
            wait_until(
                "the Sentinels know of each other and of the replica",
                || {
                    let mut wire = Wire::connect(sentinel.port).unwrap();
                    let count = |list: super::Reply| list.list().len();
                    count(wire.ask(&["SENTINEL", "REPLICAS", MASTER])) == 1
                        && count(wire.ask(&["SENTINEL", "SENTINELS", MASTER])) == others
                },
            );
        }
        Self {
            servers: [master, replica],
            sentinels,
        }
    }

    /// Returns the ports of the Sentinels.
    pub fn ports(&self) -> Vec<u16> {
        self.sentinels
            .iter()
            .map(|sentinel| sentinel.port)
            .collect()
    }

    /// Returns `redis+sentinel://127.0.0.1:PORT,…/MASTER`.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .ports()
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        format!("redis+sentinel://{}/{MASTER}", hosts.join(","))
    }

    /// Returns the port of the current master according to the first Sentinel.
    pub fn master_port(&self) -> u16 {
        let mut wire = Wire::connect(self.sentinels[0].port).unwrap();
        let address = wire.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]);
        address.texts()[1].parse().unwrap()
    }
}

impl Sentinel {
    fn start(master: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = directory.path().join("sentinel.conf");
        fs::write(
            &file,
            format!(
                "bind 127.0.0.1\nport {port}\n\
                 sentinel monitor {MASTER} 127.0.0.1 {master} 1\n\
                 sentinel down-after-milliseconds {MASTER} 2000\n\
                 sentinel failover-timeout {MASTER} 2000\n"
            ),
        )
        .unwrap();
        let log = File::create(directory.path().join("output.log")).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "redis-sentinel"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = spawn_for_life(command);
        wait_until("the Sentinel responds", || Wire::connect(port).is_ok());
        Self {
            child,
            port,
            _directory: directory,
        }
    }
}
