//! Replicas of the real program on one data directory and one Redis. Each keeps its own ports across restarts.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use skriptoteket_testing::{
    page::Page,
    ports::free_port,
    program::command_in,
    service::{STOP_LIMIT, Service},
};
use tempfile::TempDir;

/// Number of log lines that are printed when the run fails.
const TOLD: usize = 25;

type Settings = Vec<(&'static str, String)>;

/// Replicas, running or killed. They are stopped when this is dropped.
pub(crate) struct Replicas {
    ports: Vec<(u16, u16)>,
    running: Vec<Option<Service>>,
    dirs: Vec<PathBuf>,
    settings: Settings,
    _home: TempDir,
}

impl Replicas {
    /// Starts `n` replicas, one after the other, and waits until each is ready.
    pub(crate) async fn start(n: usize, settings: &[(&'static str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut all: Settings = settings
            .iter()
            .map(|(k, v)| (*k, (*v).to_owned()))
            .collect();
        all.push(("data_dir", home.path().join("data").display().to_string()));
        let dir = |n: usize| {
            let dir = home.path().join(format!("replica-{n}"));
            std::fs::create_dir(&dir).unwrap();
            dir
        };
        let mut this = Self {
            ports: (0..n).map(|_| (free_port(), free_port())).collect(),
            running: (0..n).map(|_| None).collect(),
            dirs: (0..n).map(dir).collect(),
            settings: all,
            _home: home,
        };
        for n in 0..n {
            this.launch(n);
            this.ready(n).await;
        }
        this
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        self.ports.iter().map(|(public, _)| *public).collect()
    }

    /// Starts a replica that is not running. Does not wait.
    pub(crate) fn launch(&mut self, n: usize) {
        assert!(self.running[n].is_none(), "replica {n} runs");
        let service = Service::launch(self.dirs[n].clone(), self.settings.clone(), self.ports[n]);
        self.running[n] = Some(service);
    }

    /// Waits until a started replica is ready.
    pub(crate) async fn ready(&mut self, n: usize) {
        self.running[n].as_mut().unwrap().wait_until_ready().await;
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self, n: usize) {
        if let Some(mut service) = self.running[n].take() {
            service.signal("KILL");
            service.wait().await;
        }
    }

    /// Returns the metrics of all replicas. All must be running.
    pub(crate) async fn pages(&self) -> Vec<Page> {
        let mut pages = Vec::new();
        for service in self.running.iter().flatten() {
            pages.push(service.page().await);
        }
        pages
    }

    /// Stops all replicas at the same time by signal. Returns what went wrong.
    pub(crate) async fn stop(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for service in self.running.iter().flatten() {
            service.signal("TERM");
        }
        let started_at = Instant::now();
        for (n, service) in self.running.iter_mut().enumerate() {
            if let Some(mut service) = service.take() {
                let status = service.wait().await;
                let took = started_at.elapsed();
                if !status.success() || took > STOP_LIMIT {
                    faults.push(format!("replica {n} stopped with {status} after {took:?}"));
                }
            }
        }
        faults
    }

    /// Runs the program with these arguments in the environment of the replicas. Returns the exit code and the output.
    pub(crate) fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = command_in(&self.dirs[0]);
        command.args(arguments);
        for (name, value) in &self.settings {
            command.env(format!("SKRIPTOTEKET_{}", name.to_uppercase()), value);
        }
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Returns the last lines of the logs.
    pub(crate) fn logs(&self) -> String {
        let mut text = String::new();
        for (n, (dir, (port, _))) in self.dirs.iter().zip(&self.ports).enumerate() {
            let log = dir.join(format!("service-{port}.log"));
            let _ = writeln!(text, "the log of replica {n} ends:\n{}", tail(&log));
        }
        text
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TOLD)..].join("\n")
}
