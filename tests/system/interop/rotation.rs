//! Secrets and keys rotate under a constant load, and no request is rejected.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::{Value, json};
use skriptoteket_testing::{
    http::{builder, plain},
    isolation::have_the_machine,
    jwt::part,
    operator::{Caller, Operator, UNLIMITED, access_token},
    ports::free_port,
    redis::RedisServer,
    service::Service,
};
use tokio::{task::JoinSet, time};

use crate::interop::{command::command, load::Load};

/// The shortest permitted lifetimes of tokens and keys, so that a whole rotation takes seconds.
pub(crate) const QUICK_KEYS: [(&str, &str); 2] =
    [("token_lifetime", "10s"), ("signing_key_lead", "2s")];

/// Time for two rotations of all secrets, and more where a slow machine has signed with few keys by then.
const LOAD: Load = Load {
    rate: 200,
    at_once: 16,
    at_least: Duration::from_secs(24),
    at_most: Duration::from_secs(90),
};
const CALLERS: u32 = 8;

/// Minimum number of keys that sign during the load.
const KEYS: usize = 5;

/// How long the previous secret is accepted after a rotation, in seconds. The last caller moves to its new secret after
/// half of that time; the other half is left for requests in progress with the old one.
const OVERLAP: u64 = 10;

/// How long a caller keeps a token, which lasts 10 s.
const KEPT: Duration = Duration::from_secs(9);

/// A service under load: with a secret that changes in time, and with all its tokens that are still valid.
#[derive(Clone)]
struct Busy {
    caller: Arc<Mutex<Caller>>,
    tokens: Arc<Mutex<VecDeque<(Instant, String)>>>,
}

impl Busy {
    fn caller(&self) -> Caller {
        self.caller.lock().unwrap().clone()
    }

    /// Returns its oldest token that is still valid, or its newest.
    fn token(&self, oldest: bool) -> Option<String> {
        let mut tokens = self.tokens.lock().unwrap();
        while tokens.len() > 1 && tokens.front()?.0.elapsed() > KEPT {
            tokens.pop_front();
        }
        let token = if oldest {
            tokens.front()
        } else {
            tokens.back()
        };
        token.map(|(_, token)| token.clone())
    }
}

/// The result of a request.
struct Answer {
    status: Result<u16, String>,
    what: &'static str,
    kid: Option<String>,
}

/// Sends request number `n`. Every other one requests a token, and the next one uses a token, usually one of the other
/// server.
async fn request(n: u32, busy: Busy, http: Client, servers: Arc<Vec<Service>>) -> Answer {
    let count = u32::try_from(servers.len()).unwrap();
    let turn = n / CALLERS;
    let server = &servers[((turn + turn / 8) % count) as usize];
    let caller = busy.caller();
    let (what, token) = match turn % 4 {
        1 => ("heartbeat", busy.token(true)),
        3 => ("check", busy.token(false)),
        _ => ("token", None),
    };
    let (what, request) = match &token {
        Some(token) => (what, caller.own(&http, server, what, token)),
        None => ("token", caller.token_request(&http, server)),
    };
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => {
            return Answer {
                status: Err(error.without_url().to_string()),
                what,
                kid: None,
            };
        }
    };
    let status = Ok(answer.status().as_u16());
    let mut kid = None;
    if what == "token" && status == Ok(200) {
        let token = access_token(answer).await;
        kid = part(&token, 0)["kid"].as_str().map(str::to_owned);
        let mut tokens = busy.tokens.lock().unwrap();
        tokens.push_back((Instant::now(), token));
    }
    Answer { status, what, kid }
}

/// Rotates all secrets repeatedly. Each caller moves to its new secret some time later.
async fn rotate_secrets(operator: Operator, all: Vec<Busy>) {
    loop {
        let mut moves = JoinSet::new();
        for (n, busy) in (0..).zip(all.clone()) {
            let operator = operator.clone();
            moves.spawn(async move {
                let secret = operator.rotate(&busy.caller().id, Some(OVERLAP)).await;
                // The callers change over one after the other, while both secrets are valid.
                time::sleep(Duration::from_millis(1_000 + n * 570)).await;
                busy.caller.lock().unwrap().secret = secret;
            });
        }
        time::sleep(Duration::from_secs(OVERLAP + 1)).await;
        moves.join_all().await;
    }
}

/// Creates signing keys forever, every other one with `--soon`.
async fn rotate_keys(dir: PathBuf, redis_url: Option<String>) {
    for n in 0_u32.. {
        let soon: &[&str] = if n % 2 == 0 { &[] } else { &["--soon"] };
        let arguments = [&["key", "rotate"], soon].concat();
        let (dir, redis_url) = (dir.clone(), redis_url.clone());
        let rotate = move || command(&dir, redis_url.as_deref(), &arguments);
        let output = tokio::task::spawn_blocking(rotate).await.unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{complaint}");
        time::sleep(Duration::from_millis(2_500)).await;
    }
}

/// The keys of a verifier that fetches them periodically.
#[derive(Clone)]
struct Verifier {
    http: Client,
    url: String,
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl Verifier {
    fn of(server: &Service, http: &Client) -> Self {
        Self {
            http: http.clone(),
            url: server.url("/.well-known/jwks.json"),
            known: Arc::default(),
        }
    }

    async fn fetch(&self) {
        let answer = self.http.get(&self.url).send().await.unwrap();
        let keys: Value = answer.json().await.unwrap();
        let keys = keys["keys"].as_array().unwrap().iter();
        let keys = keys.map(|it| it["kid"].as_str().unwrap().to_owned());
        *self.known.lock().unwrap() = keys.collect();
    }

    fn knows(&self, kid: &str) -> bool {
        self.known.lock().unwrap().contains(kid)
    }

    /// Fetches forever, more often than the time for which a key is published before it signs.
    async fn run(self) {
        loop {
            self.fetch().await;
            time::sleep(Duration::from_millis(400)).await;
        }
    }
}

async fn rotate_under_load(dir: &Path, servers: Vec<Service>, redis_url: Option<String>) {
    let http = builder()
        // Shorter than the server's keep-alive: no connection is closed while a request is being sent.
        .pool_idle_timeout(Duration::from_secs(1))
        .timeout(Duration::from_mins(1))
        .build()
        .unwrap();
    let operator = Operator::of(&servers[0]).await;
    let mut all = Vec::new();
    for n in 0..CALLERS {
        let caller = operator.register(&format!("caller-{n}"), json!({})).await;
        all.push(Busy {
            caller: Arc::new(Mutex::new(caller)),
            tokens: Arc::default(),
        });
    }
    let first = all[0].caller();
    let verifier = Verifier::of(&servers[0], &http);
    verifier.fetch().await;
    let servers = Arc::new(servers);
    let mut others = JoinSet::new();
    others.spawn(rotate_secrets(operator.clone(), all.clone()));
    others.spawn(rotate_keys(dir.to_owned(), redis_url));
    others.spawn(verifier.clone().run());
    let signed = Arc::new(Mutex::new(BTreeSet::new()));
    let enough = || signed.lock().unwrap().len() >= KEYS;
    let outcome = LOAD
        .run(enough, |n| {
            let busy = all[(n % CALLERS) as usize].clone();
            let (http, servers, verifier) = (http.clone(), Arc::clone(&servers), verifier.clone());
            let signed = Arc::clone(&signed);
            async move {
                let answer = request(n, busy, http, servers).await;
                signed.lock().unwrap().extend(answer.kid.clone());
                let late = answer.kid.as_ref().is_some_and(|kid| !verifier.knows(kid));
                (answer, late)
            }
        })
        .await;
    // An operator task that failed fails the test.
    if let Some(ended) = others.try_join_next() {
        panic!("{ended:?}");
    }
    others.shutdown().await;

    let (mut statuses, mut late) = (BTreeMap::new(), 0);
    for (answer, was_late) in &outcome.answers {
        *statuses
            .entry((answer.what, answer.status.clone()))
            .or_insert(0) += 1;
        late += u32::from(*was_late);
    }
    let kids = signed.lock().unwrap().clone();
    eprintln!(
        "{} servers: {:.1} responses/s, p50 {:?}, p99 {:?}, slowest {:?}, {} keys, {late} tokens by keys not fetched yet, {statuses:?}",
        servers.len(),
        outcome.achieved,
        outcome.quantile(0.5),
        outcome.quantile(0.99),
        outcome.quantile(1.0),
        kids.len(),
    );
    let well = [
        ("check", Ok(200)),
        ("heartbeat", Ok(204)),
        ("token", Ok(200)),
    ];
    assert!(statuses.keys().eq(&well), "{statuses:?}");
    assert!(kids.len() >= KEYS, "{} keys have signed", kids.len());
    verifier.fetch().await;
    assert!(
        kids.iter().all(|kid| verifier.knows(kid)),
        "all keys are still published"
    );

    let (mut successes, mut failures, mut retired) = (0.0, 0.0, 0.0);
    for server in &*servers {
        let page = server.page().await;
        successes += page.sum("skriptoteket_successful_auths_total", "service_id");
        failures += page.sum("skriptoteket_failed_auths_total", "service_id");
        retired += page.sum("skriptoteket_retired_credential_uses_total", "caller-");
    }
    let answers = f64::from(u32::try_from(outcome.answers.len()).unwrap());
    assert_eq!((successes, failures), (answers, 0.0));
    assert!(retired > 20.0, "old secrets were in use: {retired}");
    // A secret whose overlap has ended would have been rejected.
    let answer = first.token_request(&plain(), &servers[0]).send().await;
    assert_eq!(answer.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_under_load_refuse_nobody_on_sqlite() {
    let _alone = have_the_machine().await;
    let dir = tempfile::tempdir().unwrap();
    // The speed of the machine is not tested here.
    let time_limit = [("store_timeout", "10s")];
    let settings = [&UNLIMITED[..], &QUICK_KEYS, &time_limit].concat();
    let servers = vec![Service::start(dir.path(), &settings).await];
    rotate_under_load(dir.path(), servers, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_under_load_refuse_nobody_at_two_replicas() {
    let _alone = have_the_machine().await;
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let url = redis.url();
    let origin = format!("http://127.0.0.1:{}", free_port());
    // All replicas have the same issuer.
    let shared = [
        ("redis_url", url.as_str()),
        ("public_url", &origin),
        ("store_timeout", "10s"),
    ];
    let settings = [&UNLIMITED[..], &QUICK_KEYS, &shared].concat();
    let servers = vec![
        Service::start(dir.path(), &settings).await,
        Service::start(dir.path(), &settings).await,
    ];
    rotate_under_load(dir.path(), servers, Some(url)).await;
}
