//! What all who take part share: the replicas' addresses, the model, the journal, and a way to ask.

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
use tokio::sync::{Mutex, RwLock};

use crate::{
    model::{Millis, Model, Violation},
    process,
};

/// The tests of this crate that start replicas: two at once would be in each other's way on a small machine.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A service that takes longer does not answer.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// No answer may take longer, whatever is frozen: a login asks its stores several times, each half a second at most. The rest
/// is for a busy machine.
pub(crate) const SLOWEST: Duration = Duration::from_secs(15);
/// So many events are told if the run fails.
const TOLD: usize = 60;
/// And so many of the user that it fails over, out of so many that are kept.
const TOLD_OF_USER: usize = 80;
const KEPT: usize = 20_000;

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer {
        status: u16,
        body: Value,
        cookie: Option<String>,
    },
    /// The connection broke, or was refused: it may have been done or not.
    Broken,
}

impl Outcome {
    /// 0 where there is no answer.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Answer { status, .. } => *status,
            Self::Broken => 0,
        }
    }

    /// The session cookie that the answer sets, unless it takes one away.
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
    /// The client's address: each has a budget of guesses.
    pub(crate) address: u8,
}

/// What all share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) ports: Vec<u16>,
    pub(crate) model: sync::Mutex<Model>,
    pub(crate) journal: sync::Mutex<Journal>,
    /// Held for reading during a request, for writing while all is counted.
    pub(crate) checkpoint_lock: RwLock<()>,
    client: Client,
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) counts: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// What took longest.
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

    /// The first one is kept.
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

    /// The last events that name one of these, and faults.
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

/// Tells cookies apart, and is none.
fn tail_of(cookie: Option<&str>) -> String {
    let tail = |it: &str| {
        it.chars()
            .skip(it.chars().count().saturating_sub(6))
            .collect()
    };
    cookie.map_or_else(|| "-".into(), tail)
}

/// The machine's time.
pub(crate) fn now() -> Millis {
    SystemClock::default().now().as_millis()
}

impl World {
    pub(crate) fn new(ports: Vec<u16>, model: Model) -> Self {
        // The first one makes the process's cryptography known.
        let _ = process::plain();
        let client = Client::builder().no_proxy().timeout(TIME_LIMIT);
        // What is sent twice is counted twice.
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

    /// One of the replicas.
    pub(crate) fn any(&self, rng: &mut StdRng) -> usize {
        rng.random_range(0..self.ports.len())
    }

    /// Asks a replica, and holds the answer to what all answers must be.
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
        let begun = tokio::time::Instant::now();
        let outcome = read(asked).await;
        let took = begun.elapsed();
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
            journal.violated(format!("{what} was answered {status}"));
        }
        if took > SLOWEST {
            journal.violated(format!("{what} took {took:?}"));
        }
        outcome
    }

    /// An answer that the model does not allow.
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
    // Without `Retry-After` it is none of ours.
    let status = if status == 503 && !waits { 500 } else { status };
    Outcome::Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        cookie,
    }
}
