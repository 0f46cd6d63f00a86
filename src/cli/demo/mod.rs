//! `skriptoteket demo`: a service that is used, to look at. Also the traffic generator for a service elsewhere.
//!
//! | file | what is in it |
//! |---|---|
//! | `service` | the service of the demo's own, in a temporary directory |
//! | `run` | one run: accounts, traffic, summary |
//! | `rhythm`, `cast`, `acts`, `plan` | who does what and when: pure, from a seed |
//! | `traffic`, `operator`, `api` | who does it: real HTTP requests |
//! | `machines` | the three services of the demo: what they send, what is counted and shown of them |
//! | `ledger` | what was done, by what the answers said |
//! | `reading` | what `/metrics` says |
//! | `summary` | the two side by side |
//! | `live`, `view`, `screen`, `journal` | what is shown meanwhile |
//! | `stop` | Ctrl-C |

mod acts;
mod api;
mod cast;
mod journal;
mod ledger;
mod live;
mod machines;
mod operator;
mod plan;
mod reading;
mod rhythm;
mod run;
mod screen;
mod service;
mod stop;
mod summary;
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
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use self::{
    api::{Credentials, http_client},
    live::Metrics,
    rhythm::Day,
    run::Run,
    service::Service,
    stop::Stop,
};
use super::{
    output::line,
    span::{in_words, some_span},
};
use crate::{
    clock::{Clock, SystemClock},
    config::Environment,
};

/// What `skriptoteket demo` takes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// End after this time, for example 20s or 5m; without it Ctrl-C ends the demo
    #[arg(long, value_name = "TIME", value_parser = some_span)]
    duration: Option<Duration>,

    /// How long a day takes: people come in the morning and go at night
    #[arg(long, value_name = "TIME", value_parser = some_span, default_value = "4m")]
    day: Duration,

    /// Draw the traffic from this number: the same number sends the same traffic
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Where the demo's service listens [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "target")]
    listen: Option<SocketAddr>,

    /// Where its /metrics is [default: 127.0.0.1:9464, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "target")]
    management_listen: Option<SocketAddr>,

    /// Start no service: send the traffic to the one at this URL
    ///
    /// The demo makes 40 accounts and 3 services there, named demo-…, and deletes them at the end; so it needs a superuser. It
    /// pretends to be many clients by X-Forwarded-For: a service that does not trust this machine as a proxy sees one
    /// client with many failed logins, and limits it.
    #[arg(long, value_name = "URL", value_parser = origin, requires_all = ["superuser", "superuser_password_file"])]
    target: Option<Url>,

    /// Where the target's /metrics is, for example `http://127.0.0.1:9464`: shown live, and compared at the end
    ///
    /// It has to be one process that answers all the traffic, and nobody else should use it meanwhile.
    #[arg(long, value_name = "URL", value_parser = origin, requires = "target")]
    management_target: Option<Url>,

    /// A file with the bearer token that the target's /metrics asks for
    #[arg(long, value_name = "FILE", requires = "management_target")]
    metrics_token_file: Option<PathBuf>,

    /// The name of a superuser of the target
    #[arg(long, value_name = "NAME", requires = "target")]
    superuser: Option<String>,

    /// A file with that superuser's password
    #[arg(long, value_name = "FILE", requires = "target")]
    superuser_password_file: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
///
/// If the metrics do not say what was done, or the service cannot be started or reached.
pub(super) async fn run(args: DemoArgs, environment: &Environment) -> anyhow::Result<()> {
    let stop = Stop::on_signals().context("signals cannot be received")?;
    let seed = args.seed.unwrap_or_else(rand::random);
    match args.target.clone() {
        None => at_home(args, environment, seed, &stop).await,
        Some(target) => elsewhere(args, target, seed, &stop).await,
    }
}

/// Starts a service, uses it, and ends it.
async fn at_home(
    args: DemoArgs,
    environment: &Environment,
    seed: u64,
    stop: &Stop,
) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let service = Service::start(&args, environment, Arc::clone(&clock)).await?;
    line(service.introduction(io::stdout().is_terminal()))?;
    line(format_args!(
        "40 people and 3 services use it from now on; a day takes {} (--seed {seed}).\n",
        in_words(args.day)
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
        patience: 3 * service::CENSUS_INTERVAL,
        length: args.duration,
        day: Day::lasting(args.day),
        seed,
        clock,
    };
    let outcome = Box::pin(run.perform(stop)).await;
    service.stop().await?;
    outcome
}

/// Uses a service that is there already, and leaves nothing behind.
async fn elsewhere(args: DemoArgs, target: Url, seed: u64, stop: &Stop) -> anyhow::Result<()> {
    let superuser = superuser(&args)?;
    let prefix = format!("demo-{:08x}-", rand::random::<u32>());
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
        // Three times the default interval of the census.
        patience: Duration::from_secs(15),
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
    let (username, file) = given.context("--target needs a superuser")?;
    Ok(Credentials {
        username: username.clone(),
        password: secret_in(file)?,
    })
}

/// The secret in a file, without the line break at its end.
fn secret_in(file: &Path) -> anyhow::Result<SecretString> {
    let text = fs::read_to_string(file)
        .map(SecretString::from)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let secret = text.expose_secret().trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!secret.is_empty(), "{} is empty", file.display());
    Ok(secret.into())
}

/// An `http` or `https` URL; the paths of the API are added to it.
fn origin(text: &str) -> Result<Url, String> {
    let expected = "expected a URL such as http://127.0.0.1:8080";
    let mut url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(String::from(expected));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url.set_query(None);
    Ok(url)
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
    fn a_target_is_a_web_address_to_which_paths_are_added() {
        let joined = |text: &str| origin(text).unwrap().join("api/login").unwrap().to_string();
        assert_eq!(
            joined("http://127.0.0.1:8080"),
            "http://127.0.0.1:8080/api/login"
        );
        assert_eq!(
            joined("https://a.example/b"),
            "https://a.example/b/api/login"
        );
        assert!(origin("localhost:8080").is_err() && origin("ftp://a").is_err());
        assert!(origin("nothing").is_err());
    }

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
