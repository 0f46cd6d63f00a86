//! Replicas of the real program on one data directory and one Redis, each on ports of its own that it keeps for good.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use tempfile::TempDir;

use crate::{
    page::Page,
    process::{STOP_LIMIT, Service},
    redis_servers::free_port,
};

/// How much of a log is told when the run fails, in lines.
const TOLD: usize = 25;

type Settings = Vec<(&'static str, String)>;

/// Replicas, running or killed. They end with this.
pub(crate) struct Replicas {
    ports: Vec<(u16, u16)>,
    running: Vec<Option<Service>>,
    dirs: Vec<PathBuf>,
    settings: Settings,
    _home: TempDir,
}

impl Replicas {
    /// Starts so many, one after the other, and waits until each is ready.
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

    /// Starts one that does not run, and does not wait.
    pub(crate) fn launch(&mut self, n: usize) {
        assert!(self.running[n].is_none(), "replica {n} runs");
        let service = Service::launch(self.dirs[n].clone(), self.settings.clone(), self.ports[n]);
        self.running[n] = Some(service);
    }

    /// Waits until one that was started is ready.
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

    /// The metrics of all, which all run.
    pub(crate) async fn pages(&self) -> Vec<Page> {
        let mut pages = Vec::new();
        for service in self.running.iter().flatten() {
            pages.push(service.page().await);
        }
        pages
    }

    /// Stops all by signal at once. Says what was not as it should be.
    pub(crate) async fn stop(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for service in self.running.iter().flatten() {
            service.signal("TERM");
        }
        let begun = Instant::now();
        for (n, service) in self.running.iter_mut().enumerate() {
            if let Some(mut service) = service.take() {
                let status = service.wait().await;
                let took = begun.elapsed();
                if !status.success() || took > STOP_LIMIT {
                    faults.push(format!("replica {n} stopped with {status} after {took:?}"));
                }
            }
        }
        faults
    }

    /// Runs the program with these arguments in the environment of the replicas: its exit code and what it wrote.
    pub(crate) fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_skriptoteket"));
        command
            .args(arguments)
            .env_clear()
            .current_dir(&self.dirs[0]);
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

    /// The ends of the logs.
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
