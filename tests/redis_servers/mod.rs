//! Real Redis servers for tests: a single server, a master and a replica with their Sentinels, a Cluster, and a network
//! with faults. Each listens on a free loopback port, keeps its files in a temporary directory, and ends with its
//! owner, or with the test process however that ends.
//!
//! A test crate includes it with `#[path = "../redis_servers/mod.rs"] mod redis_servers;`.

#![allow(dead_code, reason = "each test crate uses some of the servers")]

mod certificates;
mod proxy;
mod sentinels;
mod signals;
mod wire;

use std::{
    fs::File,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use tempfile::TempDir;

#[allow(unused_imports, reason = "each test crate uses some of the servers")]
pub(crate) use {
    certificates::Certificates,
    proxy::{Proxy, Weather},
    sentinels::{MASTER, SentinelPair},
    signals::send_signal,
    wire::{Reply, Wire},
};

/// The time limit for a server to reach a state. It is counted in polls, so that a suspended machine does not use it up.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// The interval between polls.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A `redis-server` process. It is killed on drop.
pub(crate) struct RedisServer {
    child: Option<Child>,
    port: u16,
    arguments: Vec<String>,
    directory: TempDir,
}

impl RedisServer {
    /// Starts a server with these additional arguments (`--name value …`) and waits until it responds.
    pub(crate) fn start(arguments: &[&str]) -> Self {
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
    pub(crate) fn start_replica(master: &Self, arguments: &[&str]) -> Self {
        let of = master.port.to_string();
        // Do not wait for more replicas that may want the same copy.
        master
            .wire()
            .ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
        let replica = Self::start(&[arguments, &["--replicaof", "127.0.0.1", &of]].concat());
        // The replica reports its link as up as soon as it has the copy. The master counts it only from its first
        // acknowledgement on, up to a second later. Until then a `WAIT` for it is in vain.
        wait_until("the master counts the replica as up to date", || {
            master.is_acknowledged_by(replica.port)
        });
        replica
    }

    /// Restarts the server on the same port and files. It may still be reading its append-only file when this returns.
    pub(crate) fn restart(&mut self) {
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
    pub(crate) fn info(&self, section: &str, field: &str) -> String {
        let info = self.wire().ask(&["INFO", section]).text();
        let found = info
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("no {field}")).to_owned()
    }

    /// Returns whether the replica on this port is online and has acknowledged all writes of this server.
    pub(crate) fn is_acknowledged_by(&self, replica: u16) -> bool {
        let info = self.wire().ask(&["INFO", "replication"]).text();
        let line = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
        let written = line("master_repl_offset:").unwrap();
        let mine = format!("port={replica},state=online,offset={written},");
        info.lines()
            .any(|line| line.starts_with("slave") && line.contains(&mine))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the directory of its files, including the append-only file and the log.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns `redis://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Opens a connection of the test's own.
    pub(crate) fn wire(&self) -> Wire {
        Wire::connect(self.port).unwrap()
    }

    /// Sends `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Suspends the process (`SIGSTOP`): its port accepts connections, but no reply is sent.
    pub(crate) fn freeze(&self) {
        send_signal(self.child.as_ref().unwrap(), "STOP");
    }

    /// Resumes the process.
    pub(crate) fn thaw(&self) {
        send_signal(self.child.as_ref().unwrap(), "CONT");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A Cluster of masters without replicas.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts `masters` nodes that share the slots, and waits until each of them sees all others.
    pub(crate) fn start(masters: usize) -> Self {
        Self::start_with(masters, &[])
    }

    /// Like [`RedisCluster::start`], with these additional arguments.
    pub(crate) fn start_with(masters: usize, arguments: &[&str]) -> Self {
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
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{}", hosts.join(","))
    }
}

/// Returns a loopback port that is free now.
pub(crate) fn free_port() -> u16 {
    // Below the range for outgoing connections, so that none of them takes the port before the server does.
    static NEXT: OnceLock<std::sync::atomic::AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        let start = 12_000 + u16::try_from(std::process::id() % 1_500).unwrap() * 12;
        start.into()
    });
    loop {
        let port = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Waits for a condition in another process.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut left = TIME_LIMIT;
    while !is_so() {
        assert!(!left.is_zero(), "timed out waiting until {what}");
        left = left.saturating_sub(LOOK_AGAIN);
        thread::sleep(LOOK_AGAIN);
    }
}

type Order = (Command, mpsc::Sender<Child>);

/// Spawns from a thread that lives as long as the process. The parent-death signal is sent when the *thread* that
/// spawned the child ends. The thread of a test would end too early.
pub(crate) fn spawn_for_life(command: Command) -> Child {
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
