//! Several servers on one Redis and one data directory form one service.

use std::{
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use skriptoteket_testing::{
    http::{client, cookie_of, plain},
    page::Page,
    program::command_in,
    redis::RedisServer,
    service::{PASSWORD, Service},
};

const LIVE: &str = "skriptoteket_active_sessions";
const OBSERVER: &str = "skriptoteket_session_observer";
const UP: &str = "skriptoteket_session_census_up";

/// Time limit of the waits in these tests.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Starts `n` replicas at the same time.
async fn replicas(n: usize, dir: &Path, redis: &RedisServer, interval: &str) -> Vec<Service> {
    let url = redis.url();
    // The speed of the machine is not tested here.
    let settings = [
        ("redis_url", url.as_str()),
        ("census_interval", interval),
        ("store_timeout", "5s"),
    ];
    let mut started: Vec<Service> = (0..n).map(|_| Service::launched(dir, &settings)).collect();
    for service in &mut started {
        service.wait_until_ready().await;
    }
    started
}

/// Returns the indices of the replicas that observe.
async fn observers(services: &[Service]) -> Vec<usize> {
    let mut found = Vec::new();
    for (index, service) in services.iter().enumerate() {
        let page = service.page().await;
        let observes = page.value(OBSERVER) == 1.0;
        assert_eq!(page.get(LIVE).is_some(), observes, "{index}");
        assert_eq!(
            page.series_of("skriptoteket_sessions_started_total")
                .is_empty(),
            !observes
        );
        if observes {
            found.push(index);
        }
    }
    found
}

/// Waits until one of them exports this number of live sessions. Returns its index and the time that this took.
async fn shown_by(services: &[Service], live: f64) -> (usize, Duration) {
    let started_at = Instant::now();
    loop {
        for (index, service) in services.iter().enumerate() {
            if service.page().await.get(LIVE) == Some(live) {
                return (index, started_at.elapsed());
            }
        }
        assert!(
            started_at.elapsed() < TIME_LIMIT,
            "no replica exports {live} sessions"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn session(service: &Service, cookie: &str) -> reqwest::Response {
    let request = plain().get(service.url("/api/session"));
    request.header("cookie", cookie).send().await.unwrap()
}

fn command(dir: &Path, redis_url: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = command_in(dir);
    command
        .args(arguments)
        .env("SKRIPTOTEKET_LISTEN", "127.0.0.1:0")
        .env("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0");
    if let Some(url) = redis_url {
        command.env("SKRIPTOTEKET_REDIS_URL", url);
    }
    command.output().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_that_start_at_once_on_an_empty_directory_are_one_service() {
    for _ in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let redis = RedisServer::start(&[]);
        let services = replicas(3, dir.path(), &redis, "1s").await;

        let answer = services[0].login(&client(), "admin", PASSWORD).await;
        assert_eq!(answer.status(), 200, "{}", services[0].output());
        let cookie = cookie_of(&answer);
        for service in &services {
            assert_eq!(session(service, &cookie).await.status(), 200);
        }
        let listed = command(dir.path(), Some(&redis.url()), &["user", "list", "--json"]);
        let users: Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(users.as_array().unwrap().len(), 1, "one superuser");

        shown_by(&services, 1.0).await;
        assert_eq!(observers(&services).await.len(), 1);
        for service in &services {
            assert_eq!(service.page().await.value(UP), 1.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_observer_is_killed_another_replica_observes_within_an_interval() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    // The lease lasts half an interval and is requested three times as often: a third of the interval is left for a
    // busy machine.
    let mut services = replicas(3, dir.path(), &redis, "12s").await;
    for (index, live) in [1.0, 2.0, 3.0].into_iter().enumerate() {
        let answer = services[index].login(&client(), "admin", PASSWORD).await;
        assert_eq!(answer.status(), 200);
        shown_by(&services, live).await;
    }
    while services.len() > 1 {
        let (holder, _) = shown_by(&services, 3.0).await;
        let before = services[holder].page().await;
        services.remove(holder).kill();
        let (next, took) = shown_by(&services, 3.0).await;
        assert!(took < Duration::from_secs(12), "{took:?}");
        assert_eq!(observers(&services).await.len(), 1);
        let after = services[next].page().await;
        let epoch = |page: &Page| page.value("skriptoteket_session_observer_epoch");
        assert_eq!(epoch(&after), epoch(&before) + 1.0);
        assert_eq!(after.started_less_ended("superuser"), 3.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_that_is_stopped_hands_over_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    // A lease of 20 s: a replica that had to wait for its end would be too late.
    let mut services = replicas(2, dir.path(), &redis, "1h").await;
    let holder = observers(&services).await[0];
    let mut stopped = services.remove(holder);
    stopped.signal("TERM");
    assert!(stopped.wait().await.success());
    let (_, took) = shown_by(&services, 0.0).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_role_through_one_replica_is_seen_by_the_other_at_the_next_check() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let services = replicas(2, dir.path(), &redis, "1s").await;
    let admin = services[0].admin().await;
    services[0].add_users(&admin, &[("ada", "user")]).await;
    let answer = services[1].login(&client(), "ada", PASSWORD).await;
    let mut ours = cookie_of(&answer);
    let user: Value = answer.json().await.unwrap();
    let id = user["user"]["id"].as_str().unwrap();
    let role = |answer: Value| answer["user"]["role"].as_str().unwrap().to_owned();
    for (through, new) in [(0, "admin"), (1, "contributor"), (0, "user")] {
        let admin = services[through].admin().await;
        let url = services[through].url(&format!("/api/admin/users/{id}"));
        let change = json!({"role": new});
        let changed = admin.patch(url).json(&change).send().await.unwrap();
        assert_eq!(changed.status(), 200);
        // There is no cache and no delay: the next check is affected.
        let before = ours.clone();
        for (n, service) in services.iter().enumerate() {
            let answer = session(service, &ours).await;
            let is_renewed = answer.headers().contains_key("set-cookie");
            // A promotion issues one new key, through the replica that gets the first request.
            assert_eq!(is_renewed, new == "admin" && n == 0, "{new} {n}");
            if is_renewed {
                ours = cookie_of(&answer);
            }
            assert_eq!(role(answer.json().await.unwrap()), new);
        }
        let expected = if new == "admin" { 401 } else { 200 };
        for service in &services {
            let answer = session(service, &before).await;
            assert_eq!(answer.status(), expected, "the previous key");
            assert!(!answer.headers().contains_key("set-cookie"));
        }
    }
    shown_by(&services, 5.0).await;
    // A disabled account is disabled at every replica.
    let url = services[0].url(&format!("/api/admin/users/{id}"));
    let change = json!({"disabled": true});
    let changed = admin.patch(url).json(&change).send().await.unwrap();
    assert_eq!(changed.status(), 200);
    assert_eq!(session(&services[1], &ours).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_another_cookie_key_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let observer = replicas(1, dir.path(), &redis, "1s").await;
    let url = redis.url();
    let wrong = "another key of the cookie, long enough";
    let settings = [("redis_url", url.as_str()), ("cookie_key", wrong)];
    let other = Service::start(dir.path(), &settings).await;
    let started_at = Instant::now();
    while !other.output().contains("another cookie_key") {
        assert!(started_at.elapsed() < TIME_LIMIT, "{}", other.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!other.output().contains(wrong));
    drop(observer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_with_and_without_redis_do_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let services = replicas(1, dir.path(), &redis, "1s").await;
    let refused = command(dir.path(), None, &["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains("only servers that all have a redis_url"));
    drop(services);

    let alone = Service::start(dir.path(), &[]).await;
    assert!(alone.output().contains("kept in another place"));
    let refused = command(dir.path(), Some(&redis.url()), &["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains("a server without redis_url is running"));
    drop(alone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_would_look_for_sessions_elsewhere_is_refused_or_warned() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let services = replicas(1, dir.path(), &redis, "1s").await;
    let answer = services[0].login(&client(), "admin", PASSWORD).await;
    let cookie = cookie_of(&answer);
    // The command would end no session, complete an account change where no user is logged in, and report success.
    let revoke = ["session", "revoke", "--all"];
    let refused = command(dir.path(), None, &revoke);
    assert_eq!(refused.status.code(), Some(2), "{}", errors(&refused));
    let said = errors(&refused);
    assert!(said.contains(&redis.port().to_string()), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(session(&services[0], &cookie).await.status(), 200);

    // Another name of the same server leads to the sessions that the running service uses.
    let other_name = redis.url().replace("127.0.0.1", "localhost");
    let revoked = command(dir.path(), Some(&other_name), &revoke);
    assert_eq!(revoked.stdout, b"sessions ended: 1\n");
    let said = errors(&revoked);
    assert!(
        said.starts_with("warning: ") && said.contains("localhost"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(session(&services[0], &cookie).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_sees_and_ends_sessions_in_redis() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(&[]);
    let services = replicas(1, dir.path(), &redis, "1s").await;
    let mut cookies = Vec::new();
    for _ in 0..3 {
        let answer = services[0].login(&client(), "admin", PASSWORD).await;
        cookies.push(cookie_of(&answer));
    }
    let url = redis.url();
    let listed = command(dir.path(), Some(&url), &["session", "list", "--json"]);
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.len(), 3);
    let id = listed[0]["id"].as_str().unwrap();
    let revoked = command(dir.path(), Some(&url), &["session", "revoke", id]);
    assert_eq!(revoked.status.code(), Some(0), "{}", errors(&revoked));
    let revoked = command(
        dir.path(),
        Some(&url),
        &["session", "revoke", "--user", "admin"],
    );
    assert_eq!(revoked.stdout, b"sessions ended: 2\n");
    for cookie in &cookies {
        assert_eq!(session(&services[0], cookie).await.status(), 401);
    }

    redis.kill();
    for arguments in [&["session", "list"][..], &["session", "revoke", "--all"]] {
        let failed = command(dir.path(), Some(&url), arguments);
        assert_eq!(failed.status.code(), Some(1), "{arguments:?}");
        let said = errors(&failed);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("Redis") && said.contains(&redis.port().to_string()),
            "{said}"
        );
    }
    // Accounts are stored elsewhere.
    let listed = command(dir.path(), Some(&url), &["user", "list"]);
    assert_eq!(listed.status.code(), Some(0), "{}", errors(&listed));
}
