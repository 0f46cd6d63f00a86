//! State shared by all actors: the addresses of the replicas, the model, the journal, and a way to send requests.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write,
    sync::{self, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngExt, rngs::StdRng};
use reqwest::{Client, Method};
use serde_json::Value;
use skriptoteket::clock::{Clock, SystemClock};
use skriptoteket_testing::http::plain;
use tokio::sync::RwLock;

use crate::chaos::model::{Millis, Model, Violation};

/// After this time a request counts as unanswered.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Maximum time of a response, whatever is frozen: a login queries its stores several times, each for at most half a
/// second. The rest allows for a busy machine.
pub(crate) const SLOWEST: Duration = Duration::from_secs(15);
/// Number of events that are printed if the run fails.
const TOLD: usize = 60;
/// Number of events printed for the user whose check failed, out of the number that is kept.
const TOLD_OF_USER: usize = 80;
const KEPT: usize = 20_000;

/// The outcome of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer {
        status: u16,
        body: Value,
        cookie: Option<String>,
    },
    /// The connection broke or was refused: the request may or may not have been carried out.
    Broken,
}

impl Outcome {
    /// Returns the HTTP status, or 0 without a response.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Answer { status, .. } => *status,
            Self::Broken => 0,
        }
    }

    /// Returns the session cookie that the response sets, unless it deletes one.
    pub(crate) fn new_cookie(&self) -> Option<String> {
        match self {
            Self::Answer { cookie, .. } => cookie.clone().filter(|it| !it.ends_with('=')),
            Self::Broken => None,
        }
    }
}

/// A request.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) cookie: Option<&'a str>,
    pub(crate) body: Option<Value>,
    /// The client's address. Each address has its own budget of guesses.
    pub(crate) address: u8,
}

/// The state that all actors share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) ports: Vec<u16>,
    pub(crate) model: sync::Mutex<Model>,
    pub(crate) journal: sync::Mutex<Journal>,
    /// Held for reading during a request, for writing while everything is counted.
    pub(crate) checkpoint_lock: RwLock<()>,
    client: Client,
}

/// The events so far.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) counts: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// The longest duration by kind of request.
    slowest: BTreeMap<String, Duration>,
    last: VecDeque<String>,
    violation: Option<Violation>,
}

impl Journal {
    pub(crate) fn count(&mut self, kind: &'static str, what: impl Into<String>) {
        *self
            .counts
            .entry(kind)
            .or_default()
            .entry(what.into())
            .or_default() += 1;
    }

    pub(crate) fn tell(&mut self, event: String) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }

    /// Records a violation. Only the first one is kept.
    pub(crate) fn violated(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.clone()
    }

    pub(crate) fn last_events(&self) -> String {
        let surplus = self.last.len().saturating_sub(TOLD);
        lines(self.last.iter().skip(surplus))
    }

    /// Returns the last events that contain one of these names, and the faults.
    pub(crate) fn events_of(&self, names: &[String]) -> String {
        let concerns = |it: &&String| {
            it.contains(" fault: ") || names.iter().any(|name| it.contains(name.as_str()))
        };
        let all: Vec<_> = self.last.iter().filter(concerns).collect();
        lines(
            all.iter()
                .skip(all.len().saturating_sub(TOLD_OF_USER))
                .copied(),
        )
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for (kind, counts) in &self.counts {
            let counts: Vec<String> = counts
                .iter()
                .map(|(what, n)| format!("{what} {n}"))
                .collect();
            let _ = writeln!(text, "  {kind}: {}", counts.join(", "));
        }
        let mut slowest: Vec<_> = self.slowest.iter().collect();
        slowest.sort_by(|a, b| b.1.cmp(a.1));
        slowest.truncate(4);
        let _ = writeln!(text, "  slowest: {slowest:?}");
        text
    }
}

fn lines<'a>(events: impl Iterator<Item = &'a String>) -> String {
    events.fold(String::new(), |mut text, event| {
        let _ = writeln!(text, "  {event}");
        text
    })
}

/// Returns enough of a cookie to tell cookies apart, but not to use one.
fn tail_of(cookie: Option<&str>) -> String {
    let tail = |it: &str| {
        it.chars()
            .skip(it.chars().count().saturating_sub(6))
            .collect()
    };
    cookie.map_or_else(|| "-".into(), tail)
}

/// Returns the time of the machine.
pub(crate) fn now() -> Millis {
    SystemClock::default().now().as_millis()
}

impl World {
    pub(crate) fn new(ports: Vec<u16>, model: Model) -> Self {
        // The first client installs the crypto provider of the process.
        let _ = plain();
        let client = Client::builder().no_proxy().timeout(TIME_LIMIT);
        // No retries: a request that is sent twice is counted twice.
        let client = client.retry(reqwest::retry::never()).build().unwrap();
        Self {
            ports,
            model: sync::Mutex::new(model),
            journal: sync::Mutex::default(),
            checkpoint_lock: RwLock::new(()),
            client,
        }
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a random replica.
    pub(crate) fn any(&self, rng: &mut StdRng) -> usize {
        rng.random_range(0..self.ports.len())
    }

    /// Sends a request to a replica and checks the response against the rules for all responses.
    pub(crate) async fn ask(&self, replica: usize, request: Request<'_>) -> Outcome {
        let Request {
            method,
            path,
            cookie,
            body,
            address,
        } = request;
        let url = format!("http://127.0.0.1:{}{path}", self.ports[replica]);
        let segments = path.split(['?', '/']).filter(|it| it.len() < 22);
        let kind = format!("{method} {}", segments.collect::<Vec<_>>().join("/"));
        let what = format!("{method} {}", path.split(['?']).next().unwrap_or_default());
        let mut asked = self.client.request(method, url);
        asked = asked.header("x-forwarded-for", format!("198.51.100.{address}"));
        if let Some(cookie) = cookie {
            asked = asked.header("cookie", cookie);
        }
        if let Some(body) = &body {
            asked = asked.json(body);
        }
        let started_at = tokio::time::Instant::now();
        let outcome = read(asked).await;
        let took = started_at.elapsed();
        let mut journal = self.journal();
        let status = outcome.status();
        let text = if status == 0 {
            "no answer".into()
        } else {
            status.to_string()
        };
        journal.count("answers", text);
        let kind = journal.slowest.entry(format!("{kind} → {status}"));
        let longest = kind.or_default();
        *longest = took.max(*longest);
        let issued = match &outcome {
            Outcome::Answer { cookie, .. } => tail_of(cookie.as_deref()),
            Outcome::Broken => tail_of(None),
        };
        journal.tell(format!(
            "{} replica {replica}: [{address}] {what} → {status} in {took:?}, cookie {} → {issued}",
            now(),
            tail_of(cookie)
        ));
        if status >= 500 && status != 503 {
            journal.violated(format!("{what} got status {status}"));
        }
        if took > SLOWEST {
            journal.violated(format!("{what} took {took:?}"));
        }
        outcome
    }

    /// Records a response that the model does not allow.
    pub(crate) fn judge(&self, outcome: Result<(), Violation>) {
        if let Err(violation) = outcome {
            self.journal().violated(violation);
        }
    }
}

async fn read(asked: reqwest::RequestBuilder) -> Outcome {
    let Ok(response) = asked.send().await else {
        return Outcome::Broken;
    };
    let status = response.status().as_u16();
    let cookie = response.headers().get("set-cookie");
    let cookie = cookie.and_then(|it| it.to_str().ok()?.split(';').next().map(str::to_owned));
    let waits = response.headers().contains_key("retry-after");
    let Ok(text) = response.text().await else {
        return Outcome::Broken;
    };
    // A 503 without `Retry-After` does not come from the service.
    let status = if status == 503 && !waits { 500 } else { status };
    Outcome::Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        cookie,
    }
}
