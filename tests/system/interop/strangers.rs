//! Invented names: they add no series, cause no 500 and use up no memory.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use skriptoteket_testing::{
    http::plain,
    jwt::encoded,
    operator::{ASSERTION, Caller, Operator, OwnKey, UNLIMITED, post_form},
    service::Service,
};
use tokio::task::JoinSet;

/// A client that sends invented names, and the server that it sends them to.
struct Stranger {
    http: Client,
    server: Service,
    caller: Caller,
    token: String,
}

fn word(rng: &mut StdRng) -> String {
    let length = rng.random_range(3..24);
    let letter = |_| char::from(rng.random_range(b'a'..=b'z'));
    (0..length).map(letter).collect()
}

/// Returns a text that looks like a token, with a service, a key and an id that do not exist.
fn token(rng: &mut StdRng) -> String {
    let alg = ["EdDSA", "ES256", "HS256", "none", "x"][rng.random_range(0..5)];
    let header = json!({"typ": "at+jwt", "alg": alg, "kid": word(rng)});
    let (id, jti, iss) = (word(rng), word(rng), word(rng));
    let claims = json!({"iss": iss, "sub": id, "client_id": id, "aud": word(rng), "jti": jti, "exp": 4_000_000_000_u32});
    let signature: [u8; 64] = rng.random();
    format!(
        "{}.{}.{}",
        encoded(header.to_string().as_bytes()),
        encoded(claims.to_string().as_bytes()),
        encoded(signature)
    )
}

impl Stranger {
    fn request(&self, rng: &mut StdRng) -> RequestBuilder {
        let at = |path: &str| self.server.url(path);
        let grant = ("grant_type", "client_credentials");
        let made_up = Caller {
            id: word(rng),
            secret: format!("sks_{}", word(rng)),
        };
        let (http, own) = (&self.http, &self.caller);
        match rng.random_range(0..12) {
            0 => made_up.token_request(http, &self.server),
            1 => {
                let form = [
                    grant,
                    ("client_id", &made_up.id),
                    ("client_secret", &made_up.secret),
                ];
                post_form(http, &at("/oauth2/token"), &form)
            }
            2 => {
                let assertion =
                    OwnKey::generate(rand::random()).assertion(&made_up.id, &at(""), &word(rng));
                let form = [
                    grant,
                    ("client_assertion_type", ASSERTION),
                    ("client_assertion", &assertion),
                ];
                post_form(http, &at("/oauth2/token"), &form)
            }
            3 => {
                let form = [
                    ("grant_type", word(rng)),
                    ("scope", word(rng)),
                    (&*word(rng), word(rng)),
                ];
                let form = form.iter().map(|(name, value)| (*name, value.as_str()));
                let form: Vec<_> = form.collect();
                own.ask(http, &at("/oauth2/token"), &form)
            }
            4 => own.ask(http, &at("/oauth2/introspect"), &[("token", &token(rng))]),
            5 => own.ask(http, &at("/oauth2/revoke"), &[("token", &token(rng))]),
            6 => made_up.ask(http, &at("/oauth2/introspect"), &[("token", &self.token)]),
            7 => made_up.own(http, &self.server, "heartbeat", &token(rng)),
            8 => made_up.own(http, &self.server, "check", &self.token),
            9 => own.own(http, &self.server, &word(rng), &self.token),
            10 => http.get(at(&format!("/api/admin/services/{}", word(rng)))),
            _ => http.get(at(&format!("/.well-known/{}?{}", word(rng), word(rng)))),
        }
    }
}

/// Sends this number of requests, ten at a time, and returns the statuses.
async fn wave(stranger: &Arc<Stranger>, seed: u64, n: usize) -> BTreeSet<u16> {
    let mut tasks = JoinSet::new();
    for driver in 0..10 {
        let stranger = Arc::clone(stranger);
        tasks.spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed * 100 + driver);
            let mut statuses = BTreeSet::new();
            for _ in 0..n / 10 {
                let request = stranger.request(&mut rng);
                statuses.insert(request.send().await.unwrap().status().as_u16());
            }
            statuses
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Returns the resident memory of the server, in KiB.
fn memory(server: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

async fn series(server: &Service) -> BTreeSet<String> {
    let page = server.page().await;
    page.series().into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_made_up_ids_tokens_and_keys_add_no_series_and_meet_no_500() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [&UNLIMITED[..], &[("store_timeout", "10s")]].concat();
    let server = Service::start(dir.path(), &settings).await;
    let caller = Operator::of(&server)
        .await
        .register("orders", json!({}))
        .await;
    let http = plain();
    let token = caller.token(&http, &server).await;
    let stranger = Arc::new(Stranger {
        http,
        server,
        caller,
        token,
    });
    // The gauges of the caller appear with the next service census, within five seconds.
    let own = r#"skriptoteket_service_health{health="healthy",service_id="orders"}"#;
    let mut asked = 0;
    while !series(&stranger.server).await.contains(own) {
        asked += 1;
        assert!(asked < 200, "the services were never counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The first wave covers every existing route and status.
    wave(&stranger, 1, 1_000).await;
    let (before, small) = (series(&stranger.server).await, memory(&stranger.server));
    let statuses = wave(&stranger, 2, 5_000).await;
    let (after, large) = (series(&stranger.server).await, memory(&stranger.server));
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty() && after.len() == before.len(), "{new:?}");
    assert_eq!(statuses, BTreeSet::from([200, 400, 401, 403, 404]));
    eprintln!(
        "{} series; memory {small} KiB, then {large} KiB",
        after.len()
    );
    // If 5,000 of the smallest possible entries of each cache were kept, with a token of half a kilobyte, this would be
    // 2.5 MB. A cache that is not full yet may grow.
    assert!(large < small + 16 * 1024, "{small} KiB, then {large} KiB");
    let page = stranger.server.page().await;
    for reason in ["unknown_service", "bad_signature"] {
        let series =
            format!("skriptoteket_failed_auths_total{{service_id=\"_other\",reason=\"{reason}\"}}");
        assert!(page.value(&series) > 100.0, "{series}");
    }
    let errors = page.sum("skriptoteket_failed_auths_total", "internal_error");
    assert_eq!(errors, 0.0);
}
