//! A working directory that contains a data directory, the binary run in it, and the stores behind it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use skriptoteket::{
    accounts::User,
    clock::SystemClock,
    sessions::{NewSession, SessionRecord},
    store::Stores,
};
use skriptoteket_testing::{
    program::program,
    service::PASSWORD,
    stores::{new_session, open_file},
};
use tempfile::TempDir;

pub(crate) struct Harness {
    directory: TempDir,
    variables: BTreeMap<String, String>,
}

/// The output of a command and its exit code.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Harness {
    pub(crate) fn new() -> Self {
        let mut variables = BTreeMap::new();
        for (setting, value) in [
            // The cheapest Argon2 parameters: the cost of hashes is not under test.
            ("ARGON2_MEMORY_KIB", "8"),
            ("ARGON2_ITERATIONS", "1"),
            // Other tests run at the same time.
            ("STORE_TIMEOUT", "30s"),
        ] {
            variables.insert(format!("SKRIPTOTEKET_{setting}"), value.to_owned());
        }
        let directory = tempfile::tempdir().unwrap();
        Self {
            directory,
            variables,
        }
    }

    /// Adds a variable to the environment of the harness.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Returns a command of any program in this directory, without the environment of the tests.
    fn command(&self, name: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(name);
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the binary as a process that signals can be sent to.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(program());
        command.args(arguments).spawn().unwrap()
    }

    /// Runs the binary without the privilege to listen on ports below 1024, even for root.
    pub(crate) fn run_without_privileges(&self, arguments: &[&str]) -> Answer {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = self.command("setpriv");
            let none = "-net_bind_service";
            command.args(["--inh-caps", none, "--bounding-set", none]);
            command.arg(program());
            command
        } else {
            self.command(program())
        };
        command.args(arguments);
        answer(command, "")
    }

    /// Runs the binary with `input` on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Answer {
        // `setsid` detaches the terminal; otherwise a prompt would wait for input on the terminal of the tests.
        let mut command = self.command("setsid");
        command.arg("--wait").arg(program()).args(arguments);
        answer(command, input)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, "")
    }

    /// Returns what a terminal shows when a user runs this command and types these lines.
    pub(crate) fn typed(&self, arguments: &str, lines: &str) -> String {
        // `script` runs the command in a terminal of its own and types its standard input there.
        let mut command = self.command("script");
        command.args([
            "-qec",
            &format!("{} {arguments}", program().display()),
            "/dev/null",
        ]);
        answer(command, lines).stdout
    }

    /// Runs a command that must succeed, and returns its output.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
        let made = "note: created a new store at ";
        let mut others = answer.stderr.lines().filter(|it| !it.starts_with(made));
        assert_eq!(others.next(), None, "{arguments:?}");
        answer.stdout
    }

    /// Runs a command that must fail with this exit code, and returns its error line.
    pub(crate) fn refused(&self, arguments: &[&str], code: i32) -> String {
        let answer = self.run(arguments);
        assert_eq!(answer.code, code, "{arguments:?}: {answer:?}");
        assert_eq!(answer.stdout, "", "{arguments:?}");
        if code == 1 {
            assert_eq!(answer.stderr.lines().count(), 1, "{}", answer.stderr);
        }
        answer.stderr
    }

    /// Runs a list command and parses its JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let printed = self.done(&[arguments, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap()
    }

    pub(crate) fn add(&self, name: &str, role: &str) {
        let arguments = ["user", "add", name, "--role", role, "--password-stdin"];
        let answer = self.run_with(&arguments, &format!("{PASSWORD}\n"));
        assert_eq!(answer.code, 0, "{answer:?}");
        assert_eq!(answer.stdout, format!("added {name} as {role}\n"));
    }

    /// Opens the stores of the commands at the same time, as a server does.
    pub(crate) async fn stores(&self) -> Stores {
        let path = self.path("skriptoteket-data/skriptoteket.db");
        open_file(&path, Arc::new(SystemClock::default())).await
    }
}

fn answer(mut command: Command, input: &str) -> Answer {
    let mut child = command.spawn().unwrap();
    // A command that reads no input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap().into()
}

/// Returns the account with this name.
pub(crate) async fn user(stores: &Stores, name: &str) -> User {
    let name = name.parse().unwrap();
    let account = stores.accounts.find_by_username(&name).await.unwrap();
    account.unwrap().user
}

/// Starts a session for the user with this name.
pub(crate) async fn log_in(stores: &Stores, name: &str, user_agent: &str) -> SessionRecord {
    let user = user(stores, name).await;
    let session = NewSession {
        username: user.username,
        user_agent: user_agent.to_owned(),
        lifetime: Duration::from_hours(12),
        ..new_session(user.id, user.role)
    };
    stores.sessions.create(session, 10).await.unwrap().0
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
