//! Ten thousand sessions and `kill -9`: one census interval after the restart the gauges equal an enumeration, without
//! a job that repairs anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use skriptoteket_testing::{
    http::{client, plain},
    isolation::have_the_machine,
    redis::RedisServer,
    service::PASSWORD,
};
use tokio::time::{Instant, sleep};

use crate::chaos::{
    checkpoint::{gauges, observer},
    enumeration::Enumeration,
    operator::ROLES,
    replicas::Replicas,
};

const REPLICAS: usize = 3;
pub(crate) const USERS: usize = 16;
const SESSIONS: u32 = 10_000;
const INTERVAL: Duration = Duration::from_secs(5);
/// How much later than one interval a busy machine may show the gauges.
const SLACK: Duration = Duration::from_secs(20);

/// Creates the accounts of the test, and a session of the superuser.
pub(crate) async fn add_users(port: u16) {
    let admin = client();
    let base = format!("http://127.0.0.1:{port}");
    let body = json!({"username": "admin", "password": PASSWORD});
    let answer = admin
        .post(format!("{base}/api/login"))
        .json(&body)
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 200);
    for n in 0..USERS {
        let user =
            json!({"username": format!("user{n}"), "password": PASSWORD, "role": ROLES[n % 4]});
        let answer = admin
            .post(format!("{base}/api/admin/users"))
            .json(&user)
            .send()
            .await;
        assert_eq!(answer.unwrap().status(), 201);
    }
}

/// Logs a user in and returns the cookie.
pub(crate) async fn log_in(port: u16, user: usize) -> Option<String> {
    let body = json!({"username": format!("user{user}"), "password": PASSWORD});
    let url = format!("http://127.0.0.1:{port}/api/login");
    let answer = plain().post(url).json(&body).send().await.ok()?;
    let cookie = answer
        .headers()
        .get("set-cookie")
        .filter(|_| answer.status() == 200)?;
    cookie.to_str().ok()?.split(';').next().map(str::to_owned)
}

/// Logs in at all replicas in turn, including those that are down.
async fn log_in_on_and_on(ports: Vec<u16>, first: usize, answered: Arc<AtomicU32>) {
    let http = plain();
    for n in first.. {
        let url = format!("http://127.0.0.1:{}/api/login", ports[n % ports.len()]);
        let body = json!({"username": format!("user{}", n % USERS), "password": PASSWORD});
        match http.post(url).json(&body).send().await {
            Ok(answer) if answer.status() == 200 => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn wait_for(answered: &AtomicU32, n: u32) {
    let started_at = Instant::now();
    while answered.load(Ordering::Relaxed) < n {
        assert!(
            started_at.elapsed() < Duration::from_mins(15),
            "the logins take too long"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// Kills these replicas during logins, stops the logins, restarts the replicas, and compares one interval later.
async fn round(
    replicas: &mut Replicas,
    redis: &RedisServer,
    victims: &[usize],
    answered: &Arc<AtomicU32>,
    upto: u32,
) {
    let ports = replicas.ports();
    let drivers: Vec<_> = (0..8)
        .map(|n| tokio::spawn(log_in_on_and_on(ports.clone(), n * 5, Arc::clone(answered))))
        .collect();
    wait_for(answered, upto).await;
    for n in victims {
        replicas.kill(*n).await;
    }
    for driver in drivers {
        driver.abort();
    }
    for n in victims {
        replicas.launch(*n);
    }
    for n in victims {
        replicas.ready(*n).await;
    }
    sleep(INTERVAL).await;
    let before = Enumeration::read(&mut redis.wire());
    let listed = before.counts_at(before.now);
    let started_at = Instant::now();
    let shown = loop {
        let pages = replicas.pages().await;
        let shown = observer(&pages).map(gauges);
        if shown.as_ref() == Ok(&listed) || started_at.elapsed() > SLACK {
            break shown.unwrap();
        }
        sleep(Duration::from_millis(100)).await;
    };
    let after = Enumeration::read(&mut redis.wire());
    assert_eq!(before.faults(), [""; 0], "{victims:?} killed");
    assert_eq!(before.started, after.started, "all clients have stopped");
    assert_eq!(shown, listed, "{victims:?} killed");
    assert!(shown.sessions.iter().sum::<u64>() >= u64::from(upto));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sessions_are_counted_exactly_one_interval_after_kill_9() {
    let _alone = have_the_machine().await;
    let redis = RedisServer::start(&["--appendonly", "yes"]);
    let (url, interval) = (redis.url(), format!("{}s", INTERVAL.as_secs()));
    let settings = [
        ("redis_url", url.as_str()),
        ("census_interval", interval.as_str()),
        ("max_sessions_per_user", "1000"),
    ];
    let mut replicas = Replicas::start(REPLICAS, &settings).await;
    add_users(replicas.ports()[0]).await;
    let answered = Arc::new(AtomicU32::new(0));
    round(&mut replicas, &redis, &[0, 1, 2], &answered, SESSIONS).await;
    let pages = replicas.pages().await;
    let observes = |page: &_| observer(std::slice::from_ref(page)).is_ok();
    let observing = pages.iter().position(observes).unwrap();
    round(
        &mut replicas,
        &redis,
        &[observing],
        &answered,
        SESSIONS + 300,
    )
    .await;
    assert_eq!(replicas.stop().await, [""; 0]);
}
