//! The command line.
//!
//! | file | contents |
//! |---|---|
//! | `serve`, `user`, `service`, `key`, `session`, `audit`, `config`, `healthcheck` | the commands |
//! | `metrics` | the catalogue of metrics |
//! | `alerts` | prints the alerts that Alertmanager sends |
//! | `demo` | runs a service with simulated users; behind the feature `demo`, which is on by default |
//! | `command_context` | the context of commands on accounts, sessions and services: the stores of the server |
//! | `confirm` | the confirmation before something is deleted |
//! | `password` | prompts for a new password |
//! | `signals` | the signals that stop the process |
//! | `span` | durations as arguments |
//! | `output` | tables and JSON |

mod alerts;
mod audit;
mod command_context;
mod config;
mod confirm;
#[cfg(feature = "demo")]
mod demo;
mod healthcheck;
mod key;
mod metrics;
mod output;
mod password;
mod serve;
mod service;
mod session;
mod signals;
mod span;
mod user;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    app::session_location::Elsewhere,
    config::{Config, Environment, Faults, load},
    store::OpenError,
};

const DONE: u8 = 0;
const FAILED: u8 = 1;
/// The command line or the configuration is invalid; clap uses the same number.
const MISUSED: u8 = 2;

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  the command line or the configuration is invalid";

const AFTER_LONG_HELP: &str = "\
Examples:
  skriptoteket config init skriptoteket.toml   a file with every setting
  skriptoteket demo                            a demo with simulated users
  skriptoteket user add ada --role superuser   the first account
  skriptoteket serve                           the service, until Ctrl-C
  skriptoteket service register inventory      a program that gets access tokens
  skriptoteket user list --json | jq '.[].username'

Configuration:
  Settings come from the file and from the environment, which takes precedence:
  `listen` in the file is SKRIPTOTEKET_LISTEN there. `config init` describes all
  of them, `config show` prints those in effect. OpenTelemetry is configured by
  its standard OTEL_… variables.

Exit codes:
  0  done
  1  failed
  2  the command line or the configuration is invalid";

/// Returns [`AFTER_LONG_HELP`] without the example of a command that is not compiled in.
fn after_long_help() -> String {
    let lines = AFTER_LONG_HELP.split_inclusive('\n');
    lines
        .filter(|line| cfg!(feature = "demo") || !line.contains("skriptoteket demo"))
        .collect()
}

/// A login and session service with built-in metrics.
///
/// Users log in over HTTP. Metrics, traces and logs show live sessions by role, login outcomes and attacks. Accounts and
/// sessions are stored in an embedded SQLite file; no other software is needed.
#[derive(Debug, Parser)]
#[command(
    name = "skriptoteket",
    version,
    after_help = AFTER_HELP,
    after_long_help = after_long_help(),
    max_term_width = 100
)]
struct Arguments {
    /// Configuration file [default: the one in `SKRIPTOTEKET_CONFIG`, or skriptoteket.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    ///
    /// Serves the API and, on the management listener, /metrics, /livez and /readyz, until Ctrl-C, SIGTERM, SIGHUP or
    /// SIGQUIT. On stop it finishes requests in flight and exports the last telemetry, in two seconds at most. SIGUSR1 and
    /// SIGUSR2 have no effect. Settings are read once; restart the service after a change.
    #[command(after_help = "\
Examples:
  skriptoteket serve
  skriptoteket --config /etc/skriptoteket.toml serve
  SKRIPTOTEKET_LISTEN=127.0.0.1:9000 skriptoteket serve
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 skriptoteket serve

Exit codes:
  0  stopped by a signal
  1  it could not start, or failed
  2  the command line or the configuration is invalid")]
    Serve,

    /// Run a demo with simulated users
    ///
    /// Starts the service in a temporary directory, creates 40 accounts, and simulates their users: they log in, mistype
    /// passwords and leave without logging out, and an attacker guesses passwords from time to time. Three services request
    /// access tokens, use them, exceed their limits and rotate their secrets. A simulated day takes minutes. At the end it
    /// compares its own counts with /metrics and deletes everything. With --redis, its sessions are in Redis. With --target,
    /// it uses a running service and deletes what it created there.
    #[cfg(feature = "demo")]
    #[command(after_help = "\
Examples:
  skriptoteket demo
  skriptoteket demo --duration 20s
  skriptoteket demo --redis redis://127.0.0.1:6379
  skriptoteket demo --target http://127.0.0.1:8080 --superuser ada \\
    --superuser-password-file FILE
  skriptoteket demo --clean

Exit codes:
  0  the metrics agree with the demo's counts, or could not be read
  1  they do not agree, or the service failed or did not respond
  2  the command line is invalid, or Redis cannot be used")]
    Demo(Box<demo::DemoArgs>),

    /// Manage accounts
    #[command(
        subcommand,
        after_help = "\
Examples:
  skriptoteket user add ada --role superuser
  skriptoteket user set-role ada admin
  skriptoteket user list

The commands work while the service runs; live sessions follow within a second."
    )]
    User(user::UserCommand),

    /// Manage services: programs that authenticate with access tokens
    #[command(
        subcommand,
        after_help = "\
Examples:
  skriptoteket service register inventory --scope stock:read
  skriptoteket service list
  skriptoteket service rotate inventory

The commands work while the service runs and take effect within a second."
    )]
    Service(service::ServiceCommand),

    /// List and rotate the keys that sign access tokens
    #[command(
        subcommand,
        after_help = "\
Examples:
  skriptoteket key list
  skriptoteket key rotate

The service rotates the key automatically (signing_key_rotation). Verifiers fetch /.well-known/jwks.json."
    )]
    Key(key::KeyCommand),

    /// List, count, verify and end sessions
    #[command(
        subcommand,
        after_help = "\
Examples:
  skriptoteket session list --role superuser
  skriptoteket session revoke --user ada
  skriptoteket session verify

The commands work while the service runs."
    )]
    Session(session::SessionCommand),

    /// Read the audit trail: login attempts, password changes and administrative actions
    #[command(
        subcommand,
        after_help = "\
Example:
  skriptoteket audit list --limit 20"
    )]
    Audit(audit::AuditCommand),

    /// Check, print or create a configuration
    #[command(
        subcommand,
        after_help = "\
Examples:
  skriptoteket config init skriptoteket.toml
  skriptoteket config check
  skriptoteket config show"
    )]
    Config(config::ConfigCommand),

    /// Check whether the running service is ready
    ///
    /// Requests /readyz from the management listener and waits two seconds at most. For HEALTHCHECK in a Dockerfile and for
    /// service managers.
    #[command(after_help = "\
Example:
  HEALTHCHECK CMD [\"skriptoteket\", \"healthcheck\"]

Exit codes:
  0  the service is ready
  1  it is not ready, or does not respond
  2  the command line or the configuration is invalid")]
    Healthcheck,

    /// Print the alerts that Alertmanager sends
    ///
    /// A webhook receiver for testing routes. It prints each alert with its labels, annotations and links, until Ctrl-C.
    #[command(after_help = "\
Examples:
  skriptoteket alerts
  skriptoteket alerts --listen 0.0.0.0:9095")]
    Alerts(alerts::AlertsArgs),

    /// List the metrics that the service exports
    ///
    /// Prints each metric with its labels, its scope and its description. The scope says how to combine the values of several
    /// servers: `max` for service-wide metrics, `sum` for the others. Needs no configuration and no running service.
    #[command(after_help = "\
Examples:
  skriptoteket metrics
  skriptoteket metrics --json | jq -r '.[].prometheus'")]
    Metrics(metrics::MetricsArgs),

    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  skriptoteket completions bash \\
    > ~/.local/share/bash-completion/completions/skriptoteket
  skriptoteket completions fish > ~/.config/fish/completions/skriptoteket.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// The arguments are invalid. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

/// The source of the configuration, read when a command needs it.
#[derive(Debug)]
struct Source {
    file: Option<PathBuf>,
    environment: Environment,
}

impl Source {
    fn load(&self) -> Result<Config, Faults> {
        load(self.file.as_deref(), &self.environment)
    }
}

/// Runs the command given by the process's arguments on a runtime of its own. Errors are printed on standard error, one
/// line each.
///
/// It returns no future: a future is compiled where it is polled, and in the binary that would be all of the server again.
///
/// # Panics
///
/// If the threads of the runtime cannot be started.
// Not `actix_web::main`: under its runtime the OTLP exporter's shutdown over gRPC times out and loses the last data.
#[tokio::main]
#[must_use]
pub async fn run() -> ExitCode {
    let Arguments { config, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => {
            // Also `--help` and `--version`. A failure to print them cannot be reported.
            let _ = answer.print();
            return answer
                .exit_code()
                .try_into()
                .map_or(MISUSED, |code: u8| code)
                .into();
        }
    };
    // For every HTTP client of this process; a second call has no effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let source = Source {
        file: config,
        environment: Environment::from_process(),
    };
    match obey(command, &source).await {
        Ok(()) => DONE.into(),
        Err(error) => complain(&error).into(),
    }
}

async fn obey(command: Command, source: &Source) -> anyhow::Result<()> {
    match command {
        Command::Serve => Box::pin(serve::run(source)).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => Box::pin(demo::run(*args, &source.environment)).await,
        Command::User(command) => user::run(command, source).await,
        Command::Service(command) => service::run(command, source).await,
        Command::Key(command) => key::run(command, source).await,
        Command::Session(command) => Box::pin(session::run(command, source)).await,
        Command::Audit(command) => audit::run(command, source).await,
        Command::Config(command) => config::run(&command, source),
        Command::Healthcheck => healthcheck::run(source).await,
        Command::Alerts(args) => alerts::run(args).await,
        Command::Metrics(args) => metrics::run(&args),
        Command::Completions { shell } => completions(shell),
    }
}

fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Arguments::command(),
        "skriptoteket",
        &mut script,
    );
    output::write(&script)
}

/// Prints the error with its causes and returns the exit code.
fn complain(error: &anyhow::Error) -> u8 {
    let mut stderr = io::stderr().lock();
    // If standard error is closed, the error cannot be printed.
    if let Some(faults) = error.downcast_ref::<Faults>() {
        for fault in faults {
            let _ = writeln!(stderr, "error: {fault}");
        }
        return MISUSED;
    }
    let _ = writeln!(stderr, "error: {}", in_one_line(error));
    match error.downcast_ref() {
        // Retrying does not help: the configuration does not match the store.
        Some(OpenError::Redis(_) | OpenError::InUse) => MISUSED,
        _ if error.is::<Elsewhere>() || error.is::<Misuse>() => MISUSED,
        _ => FAILED,
    }
}

/// Formats an error and its causes. Some errors include the text of their cause, which is then not repeated.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let said = cause.to_string();
        if text.is_empty() {
            text = said;
        } else if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}

#[cfg(test)]
mod tests;
