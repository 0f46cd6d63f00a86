//! `skriptoteket demo`: a service with simulated users. Also the traffic generator for another service.
//!
//! | file | contents |
//! |---|---|
//! | `service`, `keys` | the demo's own service, in a temporary directory; its keys in a Redis |
//! | `tag`, `leftovers` | identify what a demo has created, so that it can be deleted |
//! | `origin` | URLs as arguments |
//! | `run` | one run: accounts, traffic, summary |
//! | `rhythm`, `cast`, `acts`, `plan` | who does what and when: pure, from a seed |
//! | `traffic`, `operator`, `api` | send real HTTP requests |
//! | `machines` | the three services of the demo: their requests, counts and display |
//! | `reach` | whether the service responds, and why not |
//! | `ledger` | what was done, according to the responses |
//! | `reading` | the values of `/metrics` |
//! | `summary` | compares the two |
//! | `live`, `view`, `screen`, `journal` | the live view |
//! | `stop` | Ctrl-C |

mod acts;
mod api;
mod cast;
mod journal;
mod keys;
mod ledger;
mod leftovers;
mod live;
mod machines;
mod operator;
mod origin;
mod plan;
mod reach;
mod reading;
mod rhythm;
mod run;
mod screen;
mod series;
mod service;
mod stop;
mod summary;
mod tag;
mod traffic;
mod view;

use std::{
    fs,
    io::{self, IsTerminal},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::builder::{StringValueParser, TypedValueParser};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use self::{
    api::{Api, Credentials, http_client},
    live::Metrics,
    operator::Operator,
    origin::Origin,
    reach::Reach,
    rhythm::Day,
    run::Run,
    service::Service,
    stop::Stop,
};
use super::{Misuse, output::line, span::span};
use crate::{
    clock::{Clock, SystemClock},
    config::Environment,
    duration_text,
};

/// Arguments of `skriptoteket demo`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// End after this time, for example 20s or 5m; without it Ctrl-C ends the demo
    #[arg(long, value_name = "TIME", value_parser = some_span)]
    duration: Option<Duration>,

    /// Length of a simulated day
    #[arg(long, value_name = "TIME", value_parser = some_span, default_value = "4m")]
    day: Duration,

    /// Seed of the traffic: the same seed sends the same traffic
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Address of the demo's service [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "target")]
    listen: Option<SocketAddr>,

    /// Address of its /metrics [default: 127.0.0.1:9464, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "target")]
    management_listen: Option<SocketAddr>,

    /// Keep the sessions of the demo's service in this Redis, under keys that are deleted at the end
    ///
    /// As `redis_url` in the configuration. The keys begin with {skriptoteket-demo- and a number of this run. If the URL has
    /// a password, other users of this machine can see it in the list of processes: --redis-password-file is better.
    #[arg(long, value_name = "URL", value_parser = StringValueParser::new().map(SecretString::from))]
    redis: Option<SecretString>,

    /// File that contains only the password of --redis
    #[arg(long, value_name = "FILE", requires = "redis")]
    redis_password_file: Option<PathBuf>,

    /// Delete what killed demos left behind, and exit
    ///
    /// On this machine: the temporary directories of this user's demos that no process uses. With --redis: the keys of demos
    /// that no server uses. With --target: the accounts and services of demos, also of one that is still running there.
    /// All are identified by names and marks that only a demo uses; nothing else is changed.
    #[arg(long, conflicts_with_all = ["duration", "day", "seed", "listen", "management_listen", "management_target"])]
    clean: bool,

    /// Fail if the service has not responded for this long
    #[arg(long, value_name = "TIME", value_parser = some_span, default_value = "30s")]
    give_up_after: Duration,

    /// Send the traffic to the service at this URL instead of starting one
    ///
    /// The demo creates 40 accounts and 3 services there, named demo-…, and deletes them at the end; so it needs a
    /// superuser. It simulates many clients by X-Forwarded-For: a service that does not trust this machine as a proxy
    /// sees one client with many failed logins, and limits it. For a certificate of a private authority, set the
    /// environment variable `SSL_CERT_FILE` to its PEM file.
    #[arg(long, value_name = "URL", value_parser = Origin, requires_all = ["superuser", "superuser_password_file"])]
    target: Option<Url>,

    /// URL of the target's /metrics, for example `http://127.0.0.1:9464`: shown live, and compared at the end
    ///
    /// A single process must serve all the traffic, and no other client should use it meanwhile.
    #[arg(long, value_name = "URL", value_parser = Origin, requires = "target")]
    management_target: Option<Url>,

    /// File with the bearer token of the target's /metrics
    #[arg(long, value_name = "FILE", requires = "management_target")]
    metrics_token_file: Option<PathBuf>,

    /// Name of a superuser of the target
    #[arg(long, value_name = "NAME", requires = "target")]
    superuser: Option<String>,

    /// File with the password of that superuser
    #[arg(long, value_name = "FILE", requires = "target")]
    superuser_password_file: Option<PathBuf>,
}

/// Parses a duration as [`span`] does, but rejects 0.
fn some_span(text: &str) -> Result<Duration, String> {
    match span(text)? {
        Duration::ZERO => Err(String::from("expected more than 0")),
        span => Ok(span),
    }
}

/// Runs the demo.
///
/// # Errors
///
/// If the metrics differ from what was done, or the service cannot be started or reached.
pub(super) async fn run(args: DemoArgs, environment: &Environment) -> anyhow::Result<()> {
    let stop = Stop::on_signals().context("signals cannot be received")?;
    let seed = args.seed.unwrap_or_else(rand::random);
    if args.clean {
        return Box::pin(clean(&args, &stop)).await;
    }
    match args.target.clone() {
        None => Box::pin(at_home(&args, environment, seed, &stop)).await,
        Some(_) if args.redis.is_some() => {
            let text = "--redis applies to the demo's own service: omit --target";
            Err(Misuse(text.into()).into())
        }
        Some(target) => elsewhere(args, target, seed, &stop).await,
    }
}

/// Starts a service, uses it, and stops it, even after an error.
async fn at_home(
    args: &DemoArgs,
    environment: &Environment,
    seed: u64,
    stop: &Stop,
) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let service = Service::start(args, environment, Arc::clone(&clock)).await?;
    let outcome = Box::pin(use_own(args, &service, clock, seed, stop)).await;
    // The first error is the one to report.
    outcome.and(service.stop().await)
}

async fn use_own(
    args: &DemoArgs,
    service: &Service,
    clock: Arc<dyn Clock>,
    seed: u64,
    stop: &Stop,
) -> anyhow::Result<()> {
    line(service.introduction(io::stdout().is_terminal()))?;
    line(format_args!(
        "40 simulated users and 3 services use it from now on; a day takes {} (--seed {seed}).\n",
        duration_text::write(args.day)
    ))?;
    let run = Run {
        api: service.api.clone(),
        metrics: Some(Metrics {
            client: http_client(&service.management)?,
            url: service.management.join("metrics")?,
            token: None,
            machines: machines::ids(""),
        }),
        superuser: service.superuser.clone(),
        prefix: String::new(),
        leaves_nothing: false,
        limit: args.give_up_after,
        time_limit: 3 * service::CENSUS_INTERVAL,
        length: args.duration,
        day: Day::lasting(args.day),
        seed,
        clock,
    };
    Box::pin(run.perform(stop)).await
}

/// Deletes what killed demos left behind.
async fn clean(args: &DemoArgs, stop: &Stop) -> anyhow::Result<()> {
    let directories = leftovers::delete_abandoned()?;
    line(format_args!("directories deleted: {}", directories.len()))?;
    if let Some(deleted) = keys::delete_abandoned(args).await? {
        line(format_args!("keys in Redis deleted: {deleted}"))?;
    }
    let Some(target) = &args.target else {
        return Ok(());
    };
    let reach = Reach::new(Arc::new(SystemClock::default()), args.give_up_after);
    let api = Api::new(http_client(target)?, target.clone(), Arc::default(), reach);
    let superuser = superuser(args)?;
    run::arrive(&api, target, stop).await?;
    let mut operator = Operator::log_in(api, superuser)
        .await
        .with_context(|| format!("{target}: cannot begin"))?;
    let deleted = tokio::select! {
        deleted = operator.sweep(tag::is_of_a_demo) => deleted,
        () = stop.asked(1) => Err(anyhow::anyhow!("stopped before everything was deleted")),
    };
    operator.log_out().await;
    line(format_args!("accounts and services deleted: {}", deleted?))
}

/// Uses a running service, and deletes what it created there.
async fn elsewhere(args: DemoArgs, target: Url, seed: u64, stop: &Stop) -> anyhow::Result<()> {
    let superuser = superuser(&args)?;
    let prefix = tag::prefix(&tag::new_tag());
    let metrics = match args.management_target {
        None => None,
        Some(url) => Some(Metrics {
            client: http_client(&url)?,
            url: url.join("metrics")?,
            token: args
                .metrics_token_file
                .as_deref()
                .map(secret_in)
                .transpose()?,
            machines: machines::ids(&prefix),
        }),
    };
    line(format_args!(
        "Traffic to {target} by 40 accounts and 3 services named {prefix}…, deleted at the end (--seed {seed}).\n"
    ))?;
    let run = Run {
        api: target,
        metrics,
        superuser,
        prefix,
        leaves_nothing: true,
        limit: args.give_up_after,
        // Three times the default interval of the census.
        time_limit: Duration::from_secs(15),
        length: args.duration,
        day: Day::lasting(args.day),
        seed,
        clock: Arc::new(SystemClock::default()),
    };
    Box::pin(run.perform(stop)).await
}

fn superuser(args: &DemoArgs) -> anyhow::Result<Credentials> {
    let given = args
        .superuser
        .as_ref()
        .zip(args.superuser_password_file.as_ref());
    let (username, file) = given.context("--target requires --superuser")?;
    Ok(Credentials {
        username: username.clone(),
        password: secret_in(file)?,
    })
}

/// Returns the secret in a file, without the line end.
fn secret_in(file: &Path) -> anyhow::Result<SecretString> {
    let text = fs::read_to_string(file)
        .map(SecretString::from)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let secret = text.expose_secret().trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!secret.is_empty(), "{} is empty", file.display());
    Ok(secret.into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        demo: DemoArgs,
    }

    fn parsed(args: &[&str]) -> Result<DemoArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"demo").chain(args)).map(|cli| cli.demo)
    }

    const SUPERUSER: [&str; 4] = ["--superuser", "ada", "--superuser-password-file", "file"];

    #[test]
    fn listeners_are_for_a_service_of_ones_own() {
        let target = ["--target", "http://127.0.0.1:1"];
        let whole = [&target[..], &SUPERUSER].concat();
        assert!(parsed(&whole).is_ok());
        assert!(parsed(&[&whole[..], &["--listen", "127.0.0.1:0"]].concat()).is_err());
        assert!(parsed(&["--superuser", "ada"]).is_err());
        assert_eq!(parsed(&[]).unwrap().day, Duration::from_mins(4));
    }

    #[test]
    fn cleaning_is_all_that_is_done_then() {
        assert!(parsed(&["--clean"]).is_ok());
        assert!(parsed(&["--clean", "--redis", "redis://cache"]).is_ok());
        assert!(parsed(&["--clean", "--target", "http://127.0.0.1:1"]).is_err());
        for other in [
            ["--duration", "1s"],
            ["--day", "1m"],
            ["--listen", "127.0.0.1:0"],
        ] {
            assert!(
                parsed(&["--clean", other[0], other[1]]).is_err(),
                "{other:?}"
            );
        }
    }

    #[test]
    fn the_password_of_a_redis_is_not_shown_by_debug() {
        let args = parsed(&["--redis", "redis://:topsecret@cache"]).unwrap();
        assert!(!format!("{args:?}").contains("topsecret"));
    }

    #[test]
    fn the_line_break_at_the_end_of_a_password_file_is_no_part_of_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        fs::write(&file, " a b \r\n").unwrap();
        assert_eq!(secret_in(&file).unwrap().expose_secret(), " a b ");
        fs::write(&file, "\n").unwrap();
        assert!(secret_in(&file).is_err());
        assert!(secret_in(&dir.path().join("nothing")).is_err());
    }
}
