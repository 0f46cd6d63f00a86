//! Redis servers: a single server, a master and a replica with their Sentinels, and a Cluster.

mod sentinels;
mod wire;

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

pub use sentinels::{MASTER, SentinelPair};
pub use wire::{Reply, Wire};

use crate::{
    ports::free_port,
    process::{send_signal, spawn_for_life},
    wait::wait_until,
};

/// A `redis-server` process. It is killed on drop.
#[derive(Debug)]
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    arguments: Vec<String>,
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server with these additional arguments (`--name value …`) and waits until it responds.
    pub fn start(arguments: &[&str]) -> Self {
        let mut server = Self {
            child: None,
            port: free_port(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            directory: tempfile::tempdir().unwrap(),
        };
        server.restart();
        server
    }

    /// Starts a replica of `master`, and waits until it has all data of the master and the master knows that.
    pub fn start_replica(master: &Self, arguments: &[&str]) -> Self {
        let of = master.port.to_string();
        // Do not wait for more replicas that may want the same copy.
        master
            .wire()
            .ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
        let replica = Self::start(&[arguments, &["--replicaof", "127.0.0.1", &of]].concat());
        // The replica reports its link as up as soon as it has the copy. The master counts it only from its first
        // acknowledgement on, up to a second later. Until then a `WAIT` for it has no effect.
        wait_until("the master counts the replica as up to date", || {
            master.is_acknowledged_by(replica.port)
        });
        replica
    }

    /// Restarts the server on the same port and files. It may still be reading its append-only file when this returns.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server is running");
        let directory = self.directory.path().to_owned();
        let log = File::create(directory.join("output.log")).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "redis-server"])
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--maxmemory-policy", "noeviction"])
            .arg("--dir")
            .arg(&directory)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.child = Some(spawn_for_life(command));
        let port = self.port;
        wait_until("the server responds", || Wire::connect(port).is_ok());
    }

    /// Returns a field of `INFO`; panics if there is none.
    pub fn info(&self, section: &str, field: &str) -> String {
        let info = self.wire().ask(&["INFO", section]).text();
        let found = info
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("no {field}")).to_owned()
    }

    /// Returns whether the replica on this port is online and has acknowledged all writes of this server.
    pub fn is_acknowledged_by(&self, replica: u16) -> bool {
        let info = self.wire().ask(&["INFO", "replication"]).text();
        let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
        let written = line("master_repl_offset:").unwrap();
        let mine = format!("port={replica},state=online,offset={written},");
        info.lines()
            .any(|line| line.starts_with("slave") && line.contains(&mine))
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the directory of its files, including the append-only file and the log.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Opens a connection of the test's own.
    pub fn wire(&self) -> Wire {
        Wire::connect(self.port).unwrap()
    }

    /// Sends `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Suspends the process (`SIGSTOP`): its port accepts connections, but no reply is sent.
    pub fn freeze(&self) {
        send_signal(self.child.as_ref().unwrap(), "STOP");
    }

    /// Resumes the process.
    pub fn thaw(&self) {
        send_signal(self.child.as_ref().unwrap(), "CONT");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Cluster of masters without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, in the order of their slots.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts `masters` nodes that share the slots, and waits until each of them sees all others.
    pub fn start(masters: usize) -> Self {
        Self::start_with(masters, &[])
    }

    /// Like [`RedisCluster::start`], with these additional arguments.
    pub fn start_with(masters: usize, arguments: &[&str]) -> Self {
        let options = [
            "--cluster-enabled",
            "yes",
            // On a busy machine, nodes must not consider each other dead.
            "--cluster-node-timeout",
            "5000",
            "--cluster-port",
            "0",
        ];
        let nodes: Vec<RedisServer> = (0..masters)
            .map(|_| {
                let bus = free_port().to_string();
                let mut options = options;
                options[5] = &bus;
                RedisServer::start(&[&options, arguments].concat())
            })
            .collect();
        let addresses = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()));
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "0", "--cluster-yes"])
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stdout)
        );
        for node in &nodes {
            wait_until("the cluster is up", || {
                let info = node.wire().ask(&["CLUSTER", "INFO"]).text();
                info.contains("cluster_state:ok")
                    && info.contains(&format!("cluster_known_nodes:{masters}"))
            });
        }
        Self { nodes }
    }

    /// Returns `redis+cluster://127.0.0.1:PORT,…`.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}
