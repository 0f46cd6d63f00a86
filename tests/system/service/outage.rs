//! Redis is down: the responses meanwhile, and that no user is logged out.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use actix_web::cookie::{Cookie, CookieJar, Key};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Response;
use sha2::{Digest, Sha256};
use skriptoteket_testing::{
    http::{client, cookie_of, plain},
    ports::free_port,
    program::command_in,
    proxy::{Proxy, Weather},
    redis::RedisServer,
    service::{PASSWORD, STOP_LIMIT, Service},
};

const LIVE: &str = "skriptoteket_active_sessions";
const UP: &str = "skriptoteket_session_census_up";

/// The store timeout. It is long enough for a healthy Redis to answer in time on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(2);
const STORE_TIMEOUT: (&str, &str) = ("store_timeout", "2s");

/// What a busy machine may add to a timeout; still less than a second timeout.
const MARGIN: Duration = Duration::from_millis(1_900);

/// Maximum time until the gauges are back after Redis is: a new connection and a census, at most a second each.
const SOON: Duration = Duration::from_secs(15);

/// Time limit of the waits in these tests.
const TIME_LIMIT: Duration = Duration::from_mins(1);

const KEY: &str = "a key of the cookie that is long enough";

async fn on(dir: &Path, redis: &RedisServer) -> Service {
    let url = redis.url();
    let settings = [
        ("redis_url", url.as_str()),
        ("cookie_key", KEY),
        STORE_TIMEOUT,
    ];
    Service::start(dir, &settings).await
}

/// Sends a request with a cookie; returns the response and its duration.
async fn timed(request: reqwest::RequestBuilder, cookie: &str) -> (Response, Duration) {
    let started_at = Instant::now();
    let answer = request.header("cookie", cookie).send().await.unwrap();
    (answer, started_at.elapsed())
}

fn login(service: &Service, password: &str) -> reqwest::RequestBuilder {
    let body = serde_json::json!({"username": "admin", "password": password});
    plain().post(service.url("/api/login")).json(&body)
}

fn check(service: &Service) -> reqwest::RequestBuilder {
    plain().get(service.url("/api/session"))
}

/// Asserts a 503 within the time limit that leaves the cookie unchanged.
fn assert_unavailable(what: &str, (answer, took): (Response, Duration)) {
    assert_eq!(answer.status(), 503, "{what}");
    assert!(took < TIMEOUT + MARGIN, "{what}: {took:?}");
    let wait: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(wait >= 1, "{what}");
    assert!(!answer.headers().contains_key("set-cookie"), "{what}");
}

async fn assert_away(service: &Service, cookie: &str) {
    for _ in 0..3 {
        assert_unavailable("check", timed(check(service), cookie).await);
        assert_unavailable("login", timed(login(service, PASSWORD), "").await);
        assert_unavailable(
            "another login",
            timed(login(service, PASSWORD), cookie).await,
        );
        assert_unavailable("guess", timed(login(service, "wrong"), cookie).await);
        let logout = plain().post(service.url("/api/logout"));
        assert_unavailable("logout", timed(logout, cookie).await);
    }
    // While a count is waiting for its answer, it is unknown whether the store is up.
    service
        .page_where("the gauges are absent, and the store is down", |page| {
            page.get(LIVE).is_none() && page.get(UP) == Some(0.0)
        })
        .await;
    let ready = plain()
        .get(service.management("/readyz"))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), 503);
    let reason = ready.text().await.unwrap();
    assert!(reason.contains("sessions: "), "{reason}");
    assert!(!reason.contains("accounts: "), "{reason}");
}

/// Waits until the gauges are back, and returns how long that took.
async fn back(service: &Service, live: f64) -> Duration {
    let started_at = Instant::now();
    service
        .page_where("the gauges are back", |page| page.get(LIVE) == Some(live))
        .await;
    started_at.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_of_many_waits_on_a_slow_redis_takes_the_store_timeout_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let proxy = Proxy::to(redis.port());
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let settings = [
        ("redis_url", url.as_str()),
        ("cookie_key", KEY),
        STORE_TIMEOUT,
    ];
    let service = Service::start(dir.path(), &settings).await;
    let cookie = cookie_of(&service.login(&client(), "admin", PASSWORD).await);
    // A quarter of the timeout for every round trip, half of that in each direction. A login that replaces a session
    // needs at least five round trips, one after the other.
    proxy.set(Weather::Slow(TIMEOUT / 8));
    let (answer, took) = timed(check(&service), &cookie).await;
    assert_eq!(answer.status(), 200, "{took:?}");
    assert!(took >= TIMEOUT / 4, "{took:?}");
    assert_unavailable("login", timed(login(&service, PASSWORD), &cookie).await);
    proxy.set(Weather::Fair);
    let (answer, _) = timed(login(&service, PASSWORD), &cookie).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_frozen_requests_are_refused_in_time_and_nobody_is_logged_out() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let service = on(dir.path(), &redis).await;
    let cookie = cookie_of(&service.login(&client(), "admin", PASSWORD).await);
    back(&service, 1.0).await;
    // The first request to detect the outage, of whichever kind, waits for the store once.
    for first in 0..4 {
        redis.freeze();
        let request = match first {
            0 => check(&service),
            1 => login(&service, PASSWORD),
            2 => login(&service, "wrong"),
            _ => plain().post(service.url("/api/logout")),
        };
        assert_unavailable("the first", timed(request, &cookie).await);
        assert_away(&service, &cookie).await;
        redis.thaw();
        let took = back(&service, 1.0).await;
        assert!(took < SOON, "{took:?}");
        assert_eq!(timed(check(&service), &cookie).await.0.status(), 200);
    }
    let mut service = service;
    service.wait_until_ready().await;
    let (answer, _) = timed(login(&service, PASSWORD), &cookie).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_comes_back_with_its_file_has_logged_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = RedisServer::start(&durable);
    let service = on(dir.path(), &redis).await;
    let cookie = cookie_of(&service.login(&client(), "admin", PASSWORD).await);
    back(&service, 1.0).await;
    redis.kill();
    assert_away(&service, &cookie).await;
    redis.restart();
    let took = back(&service, 1.0).await;
    assert!(took < SOON, "{took:?}");
    assert_eq!(timed(check(&service), &cookie).await.0.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_starts_without_its_redis_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(&[]);
    let port = redis.port().to_string();
    redis.kill();
    let url = redis.url();
    let settings = [("redis_url", url.as_str()), STORE_TIMEOUT];
    let mut service = Service::launched(dir.path(), &settings);
    let started_at = Instant::now();
    let reason = loop {
        let answer = plain().get(service.management("/readyz")).send().await;
        if let Ok(answer) = answer {
            assert_eq!(answer.status(), 503);
            break answer.text().await.unwrap();
        }
        assert!(started_at.elapsed() < TIME_LIMIT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(
        reason.contains("Redis") && reason.contains(&port),
        "{reason}"
    );
    assert_unavailable("login", timed(login(&service, PASSWORD), "").await);
    let page = service.page().await;
    assert_eq!((page.get(LIVE), page.value(UP)), (None, 0.0));
    redis.restart();
    service.wait_until_ready().await;
    assert_eq!(timed(login(&service, PASSWORD), "").await.0.status(), 200);
    back(&service, 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_not_as_it_has_to_be_is_a_fault_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let protected = RedisServer::start(&["--requirepass", "Fechter"]);
    let evicting = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let wrong = format!("redis://:Fechterin@127.0.0.1:{}", protected.port());
    // For commands that require an existing database.
    std::fs::write(dir.path().join("a.db"), "").unwrap();
    for (url, expected) in [
        (wrong, "password"),
        (protected.url(), "requires a password"),
        (evicting.url(), "noeviction"),
        (format!("{}/99", evicting.url()), "database"),
    ] {
        for arguments in [&["serve"][..], &["session", "list"]] {
            let output = command_in(dir.path())
                .args(arguments)
                .env("SKRIPTOTEKET_DATA_DIR", dir.path())
                .env("SKRIPTOTEKET_DATABASE_URL", "sqlite:a.db")
                .env("SKRIPTOTEKET_LISTEN", "127.0.0.1:0")
                .env("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0")
                .env("SKRIPTOTEKET_REDIS_URL", &url)
                .env("SKRIPTOTEKET_LOG", "error")
                .output()
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{said}");
            // Once on stderr and not in the log as well: there are no retries.
            let one = said
                .strip_prefix("error: ")
                .and_then(|it| it.strip_suffix('\n'));
            assert!(one.is_some_and(|it| !it.contains('\n')), "{said}");
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("Fecht"), "{said}");
        }
    }
}

/// Returns a cookie that contains this text, encrypted as the service does it.
fn forged(key: &str, text: &str) -> String {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..32].copy_from_slice(&Sha256::digest(key));
    let mut bytes = Vec::new();
    for label in [
        "skriptoteket session cookie 1",
        "skriptoteket session cookie 2",
    ] {
        let mut mac = Hmac::<Sha256>::new(&block);
        mac.update(label.as_bytes());
        bytes.extend_from_slice(&mac.finalize().into_bytes());
    }
    let mut jar = CookieJar::new();
    jar.private_mut(&Key::from(&bytes))
        .add(Cookie::new("skriptoteket", text.to_owned()));
    jar.get("skriptoteket").unwrap().encoded().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonsense_cookie_is_nobody_and_costs_redis_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let service = on(dir.path(), &redis).await;
    let real = cookie_of(&service.login(&client(), "admin", PASSWORD).await);
    let tail = "A".repeat(43);
    let nonsense = [
        forged(
            "a key of another service, 32 bytes long",
            &format!("01{tail}"),
        ),
        forged(KEY, &format!("64{tail}")),
        forged(KEY, &format!("99{tail}")),
        forged(KEY, ""),
        forged(KEY, "{skriptoteket:01}:z"),
        forged(KEY, &"A".repeat(4_000)),
        String::from("skriptoteket=junk"),
    ];
    // While Redis is frozen, every request that needs it is rejected. These do not need it.
    redis.freeze();
    assert_eq!(timed(check(&service), &real).await.0.status(), 503);
    for cookie in nonsense {
        let (answer, took) = timed(check(&service), &cookie).await;
        assert_eq!(answer.status(), 401, "{cookie:.60}");
        assert!(took < TIMEOUT);
    }
    redis.thaw();
    back(&service, 1.0).await;

    // 10 MB: rejected with a 4xx, or by closing the connection.
    let large = format!("skriptoteket={}", "A".repeat(10_000_000));
    if let Ok(answer) = check(&service).header("cookie", large).send().await {
        assert!(answer.status().is_client_error(), "{}", answer.status());
    }
    assert_eq!(timed(check(&service), &real).await.0.status(), 200);
    assert!(!service.output().contains("panicked"));
}

/// A port without a listener is an unavailable Redis, not a configuration error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_redis_never_comes_that_is_said_once_and_a_stop_is_quick() {
    for scheme in ["redis", "redis+cluster"] {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("{scheme}://127.0.0.1:{}", free_port());
        let mut service = Service::launched(dir.path(), &[("redis_url", url.as_str())]);
        let started_at = Instant::now();
        while !service.output().contains("the service is listening") {
            assert!(started_at.elapsed() < TIME_LIMIT);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        service.signal("TERM");
        let started_at = Instant::now();
        assert!(service.wait().await.success());
        let took = started_at.elapsed();
        assert!(took < STOP_LIMIT, "{took:?}");
        let said = service.output();
        assert_eq!(
            said.matches("Redis is unavailable; retrying").count(),
            1,
            "{said}"
        );
    }
}

/// An attempt that was reserved although the reply was lost does not count as a wrong guess: no password was checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_whose_place_was_taken_too_late_locks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let proxy = Proxy::to(redis.port());
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let settings = [
        ("redis_url", url.as_str()),
        ("cookie_key", KEY),
        STORE_TIMEOUT,
        ("guard_account_attempts", "1"),
    ];
    let service = Service::start(dir.path(), &settings).await;
    service.login(&client(), "admin", PASSWORD).await;
    // The answer to the connection check arrives in time. The answer to the guard, which queries Redis next, does not.
    proxy.set(Weather::Slow(TIMEOUT.mul_f64(0.3)));
    assert_unavailable("a login", timed(login(&service, PASSWORD), "").await);
    proxy.set(Weather::Fair);
    // The connection may have been dropped. A login that waits for a reservation that is never released is rejected
    // after 15 to 30 s: the account is locked then.
    let started_at = Instant::now();
    let status = loop {
        let (answer, _) = timed(login(&service, PASSWORD), "").await;
        if answer.status() != 503 || started_at.elapsed() > TIME_LIMIT {
            break answer.status();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(status, 200, "after {:?}", started_at.elapsed());
}
