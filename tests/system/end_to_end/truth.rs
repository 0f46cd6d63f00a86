//! The data in Prometheus equals what was done.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use skriptoteket_testing::prometheus::{Prometheus, Sample};
use tokio::task::JoinHandle;

use crate::end_to_end::{
    pace::{SLACK, TEST},
    world::{Done, LIVE, REPLICAS, USERS, Visitor, World, add_accounts},
};

/// All logins ever, including those of processes that have ended: the maximum of each process. The last export of a
/// process contains all that it did.
const EVER: &str = "sum by (status) (max_over_time(skriptoteket_logins_total[1h]))";

const ROLES: [&str; 4] = ["user", "contributor", "admin", "superuser"];

async fn assert_logins(world: &World, expression: &str, done: Done) {
    let expected = BTreeMap::from([
        (String::from("success"), done.logins),
        (String::from("failure"), done.failures),
    ]);
    world
        .prometheus
        .until_by("status", expression, &expected)
        .await;
}

/// Asserts that the series have exactly these labels besides `job` and `instance`, with exactly these values.
async fn assert_labels(prometheus: &Prometheus, name: &str, label: Option<(&str, &[&str])>) {
    let mut values = BTreeSet::new();
    for series in prometheus.series(name).await {
        assert_eq!(series["job"], "skriptoteket", "{series:?}");
        assert_eq!(series["instance"].len(), 36, "{series:?}");
        let all: BTreeSet<&str> = series.keys().map(String::as_str).collect();
        let own = label.map(|(label, _)| label);
        let expected = ["__name__", "job", "instance"].into_iter().chain(own);
        assert_eq!(all, expected.collect(), "{series:?}");
        values.insert(own.map_or(String::new(), |own| series[own].clone()));
    }
    let expected = label.map_or(BTreeSet::from([String::new()]), |(_, values)| {
        values.iter().map(|it| (*it).to_owned()).collect()
    });
    assert_eq!(values, expected, "{name}");
}

/// Five live sessions of four users.
fn users() -> BTreeMap<String, f64> {
    let users = [1.0, 2.0, 0.0, 1.0];
    ROLES.map(str::to_owned).into_iter().zip(users).collect()
}
const SESSIONS: f64 = 5.0;

/// Runs the shipped queries continuously until stopped. Each result must be correct.
fn watch(prometheus: Arc<Prometheus>) -> (Arc<AtomicBool>, JoinHandle<Watched>) {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let watching = tokio::spawn(async move {
        let mut watched = Watched::default();
        let mut last = Instant::now();
        while !stopped.load(Ordering::Relaxed) {
            let live = prometheus.value(LIVE).await;
            let users = prometheus.by("role", USERS).await;
            watched.asked += 1;
            if live.is_none() || users.is_empty() {
                watched.longest_gap = watched.longest_gap.max(last.elapsed());
            } else {
                last = Instant::now();
                if live != Some(SESSIONS) || users != self::users() {
                    watched.wrong.push(format!("{live:?} {users:?}"));
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        watched
    });
    (stop, watching)
}

#[derive(Debug, Default)]
struct Watched {
    asked: u32,
    longest_gap: Duration,
    wrong: Vec<String>,
}

/// Sends the existing names, methods and paths together with words that occur nowhere else. Returns the number of
/// requests.
fn hostile(port: u16, word: &str) -> u32 {
    let mut sent = 0;
    for method in ["GET", "POST", "BREW", &word.to_uppercase()] {
        for path in ["/api/login", "/api/session", "/", &format!("/{word}")] {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            let request = format!(
                "{method} {path}?{word}={word} HTTP/1.1\r\nHost: {word}.example\r\nUser-Agent: {word}\r\n\
                 X-Forwarded-For: {word}\r\nForwarded: for={word};host={word}\r\nX-Forwarded-Proto: {word}\r\n\
                 X-Forwarded-Host: {word}\r\nOrigin: http://{word}.example\r\nCookie: skriptoteket={word}\r\n\
                 Content-Type: application/{word}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.starts_with(b"HTTP/1.1 "), "{method} {path}");
            sent += 1;
        }
    }
    sent
}

/// Sends two waves of the same requests with different words: the second wave must not add a series.
async fn assert_no_series_of_visitors(world: &World) {
    let port = world.replica(0).port();
    let answered = "sum(http_server_request_duration_seconds_count)";
    let mut known = None;
    for word in ["zyxwv", "qponm", "vwxyz"] {
        let before = world.prometheus.value(answered).await.unwrap_or(0.0);
        let sent = tokio::task::spawn_blocking(move || hostile(port, word));
        let sent = f64::from(sent.await.unwrap());
        let all = |found: &[Sample]| found.iter().any(|it| it.value >= before + sent);
        let prometheus = &world.prometheus;
        let time_limit = prometheus.time_limit();
        prometheus
            .until("all are counted", answered, time_limit, all)
            .await;
        tokio::time::sleep(world.delivery()).await;
        let series = world.prometheus.series(r#"{__name__=~".+"}"#).await;
        let said = format!("{series:?}").to_lowercase();
        assert!(!said.contains(word), "{word}");
        let own: BTreeSet<_> = series
            .into_iter()
            .filter(|it| it.get("job").is_some_and(|job| job == "skriptoteket"))
            .collect();
        if let Some(known) = known.replace(own.clone()) {
            let new: Vec<_> = own.difference(&known).collect();
            assert!(new.is_empty(), "{word}: {new:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_has_what_was_done_with_one_replica_with_two_and_while_they_are_replaced() {
    // The speed of the machine is not tested here.
    let mut world = World::start(TEST, &[("store_timeout", "5s")]).await;
    // The first event after a start must show as an increase. This replica exports at half the pace, so that the export
    // after the event cannot come before a scrape of the export at the start.
    let slower = (2 * TEST.interval()).as_millis().to_string();
    world
        .launch(0, &[("OTEL_METRIC_EXPORT_INTERVAL", &slower)])
        .await;
    let mut visitor = Visitor::new();
    visitor.mistype(world.replica(0)).await;
    let increase = r#"sum(increase(skriptoteket_logins_total{status="failure"}[5m]))"#;
    let told = |found: &[Sample]| found.iter().any(|it| it.value >= 1.0);
    world
        .prometheus
        .until(
            "the first failure is an increase",
            increase,
            world.prometheus.time_limit(),
            told,
        )
        .await;

    // One replica.
    let accounts = [
        ("ada", "user"),
        ("bo", "contributor"),
        ("cy", "contributor"),
    ];
    let accounts = accounts.map(|(name, role)| (name.to_owned(), role));
    add_accounts(world.replica(0), &mut visitor.done, &accounts).await;
    for name in ["ada", "ada", "bo", "cy"] {
        visitor.log_in(world.replica(0), name).await;
    }
    for _ in 0..3 {
        visitor.mistype(world.replica(0)).await;
    }
    world.prometheus.until_is(LIVE, SESSIONS).await;
    world.prometheus.until_by("role", USERS, &users()).await;
    let now = "sum by (status) (skriptoteket_logins_total)";
    assert_logins(&world, now, visitor.done).await;

    // Two replicas.
    world.launch(1, &[]).await;
    world.prometheus.until_is(REPLICAS, 2.0).await;
    for n in [0, 1, 1] {
        visitor.mistype(world.replica(n)).await;
    }
    assert_logins(&world, now, visitor.done).await;
    world.prometheus.until_is(LIVE, SESSIONS).await;
    world.prometheus.until_by("role", USERS, &users()).await;

    // A rolling restart: one replica after the other is stopped and started again.
    let started_at = Instant::now();
    let (stop, watching) = watch(Arc::clone(&world.prometheus));
    for n in [0, 1] {
        tokio::time::sleep(world.delivery()).await;
        world.stop(n).await;
        tokio::time::sleep(world.delivery()).await;
        world.launch(n, &[]).await;
    }
    tokio::time::sleep(world.delivery() + TEST.expiration()).await;
    stop.store(true, Ordering::Relaxed);
    let watched = watching.await.unwrap();
    assert!(watched.wrong.is_empty(), "{watched:?}");
    // Without a takeover the gap would be longer: until a replica is stopped, started, and has exported.
    let gap = TEST.interval() + SLACK / 4;
    assert!(watched.longest_gap <= gap, "{watched:?}");
    assert!(watched.asked > 10, "{watched:?}");
    eprintln!("rolling restart: {watched:?}");
    let fired = world.prometheus.fired(started_at.elapsed()).await;
    assert!(fired.is_empty(), "a rolling restart wakes {fired:?}");

    visitor.mistype(world.replica(1)).await;
    assert_logins(&world, EVER, visitor.done).await;
    let started = "sum(max by (role) (skriptoteket_sessions_started_total))";
    world
        .prometheus
        .until_is(started, visitor.done.logins)
        .await;

    let prometheus = &world.prometheus;
    assert_labels(prometheus, "skriptoteket_active_sessions", None).await;
    let statuses = ("status", &["failure", "success"][..]);
    assert_labels(prometheus, "skriptoteket_logins_total", Some(statuses)).await;
    let roles = ("role", &ROLES[..]);
    assert_labels(prometheus, "skriptoteket_users_by_role", Some(roles)).await;
    for label in ["exported_job", "exported_instance", "otel_scope_name"] {
        let with = prometheus.series(&format!("{{{label}!=\"\"}}")).await;
        assert!(with.is_empty(), "{with:?}");
    }
    assert_no_series_of_visitors(&world).await;
}
