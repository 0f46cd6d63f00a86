//! The service on more than one Redis: one server fails, no user is logged out, and all sessions are counted after its
//! return.

use std::time::Duration;

use skriptoteket_testing::{
    http::plain,
    isolation::have_the_machine,
    page::Page,
    redis::{RedisCluster, RedisServer, SentinelPair},
    wait::wait_until,
};
use tokio::time::{Instant, sleep};

use crate::chaos::{
    checkpoint::{gauges, observer},
    killed::{USERS, add_users, log_in},
    replicas::Replicas,
};

/// Time limit of every wait: a Cluster and Sentinels take seconds to agree.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// Maximum time of a check: the store timeout, with room for a busy machine.
const SLOWEST: Duration = Duration::from_secs(10);

/// Starts two replicas on this Redis, and a session for each user.
async fn harness(url: &str) -> (Replicas, Vec<String>) {
    let settings = [
        ("redis_url", url),
        ("store_timeout", "2s"),
        ("census_interval", "500ms"),
    ];
    let replicas = Replicas::start(2, &settings).await;
    let ports = replicas.ports();
    add_users(ports[0]).await;
    let mut cookies = Vec::new();
    for n in 0..USERS {
        cookies.push(log_in(ports[n % 2], n).await.unwrap());
    }
    (replicas, cookies)
}

/// Returns the status of a session check with each cookie. No response may delete the cookie.
async fn check(replicas: &Replicas, cookies: &[String]) -> Vec<u16> {
    let http = plain();
    let mut statuses = Vec::new();
    for (n, cookie) in cookies.iter().enumerate() {
        let url = format!("http://127.0.0.1:{}/api/session", replicas.ports()[n % 2]);
        let started_at = Instant::now();
        let answer = http.get(url).header("cookie", cookie).send().await.unwrap();
        assert!(
            started_at.elapsed() < SLOWEST,
            "it took {:?}",
            started_at.elapsed()
        );
        assert!(
            !answer.headers().contains_key("set-cookie"),
            "the cookie must be kept"
        );
        statuses.push(answer.status().as_u16());
    }
    statuses
}

async fn wait_until_all_are_in(replicas: &Replicas, cookies: &[String]) {
    let started_at = Instant::now();
    loop {
        let statuses = check(replicas, cookies).await;
        if statuses.iter().all(|it| *it == 200) {
            return;
        }
        assert!(
            started_at.elapsed() < TIME_LIMIT,
            "not all sessions are usable again: {statuses:?}"
        );
        assert!(
            statuses.iter().all(|it| matches!(it, 200 | 503)),
            "{statuses:?}"
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until the gauges show as many sessions as there are records on these servers.
async fn wait_until_counted(replicas: &Replicas, servers: &[&RedisServer]) {
    let records = servers.iter().map(|it| it.wire().scan("*:s:*").len());
    let records: u64 = records.map(|it| it as u64).sum();
    let started_at = Instant::now();
    loop {
        let pages = replicas.pages().await;
        let shown = observer(&pages).map(|page| gauges(page).sessions.iter().sum());
        if shown == Ok(records) {
            return;
        }
        assert!(
            started_at.elapsed() < TIME_LIMIT,
            "{records} records, shown: {shown:?}"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

async fn wait_until_the_gauges_are_gone(replicas: &Replicas) {
    let started_at = Instant::now();
    loop {
        let pages = replicas.pages().await;
        let shown = |page: &&Page| page.get("skriptoteket_active_sessions").is_some();
        let up = |page: &&Page| page.get("skriptoteket_session_census_up") == Some(1.0);
        if !pages.iter().any(|page| shown(&page) || up(&page)) {
            return;
        }
        assert!(
            started_at.elapsed() < TIME_LIMIT,
            "the gauges are still exported"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_is_killed_and_comes_back_and_nobody_is_logged_out() {
    let _alone = have_the_machine().await;
    let durable = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut cluster = RedisCluster::start_with(3, &durable);
    let (replicas, cookies) = harness(&cluster.url()).await;
    wait_until_all_are_in(&replicas, &cookies).await;
    wait_until_counted(&replicas, &cluster.nodes.iter().collect::<Vec<_>>()).await;
    cluster.nodes[1].kill();
    wait_until_the_gauges_are_gone(&replicas).await;
    let statuses = check(&replicas, &cookies).await;
    assert!(statuses.contains(&503), "{statuses:?}");
    assert!(
        statuses.iter().all(|it| matches!(it, 200 | 503)),
        "{statuses:?}"
    );
    tokio::task::block_in_place(|| cluster.nodes[1].restart());
    wait_until_all_are_in(&replicas, &cookies).await;
    wait_until_counted(&replicas, &cluster.nodes.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_change_the_master_and_nobody_is_logged_out_or_in_again() {
    let _alone = have_the_machine().await;
    let mut pair = SentinelPair::start(1);
    let (replicas, mut cookies) = harness(&pair.url()).await;
    wait_until_all_are_in(&replicas, &cookies).await;
    // A session whose end was confirmed stays ended: the response was sent after the other server had the change.
    let gone = cookies.split_off(USERS / 2);
    let http = plain();
    for cookie in &gone {
        let url = format!("http://127.0.0.1:{}/api/sessions", replicas.ports()[0]);
        let answer = http
            .delete(url)
            .header("cookie", cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 204);
    }
    // The service does not wait for a replica that was just started.
    let other = pair.servers[1].port();
    wait_until("the other server has all sessions", || {
        pair.servers[0].is_acknowledged_by(other)
    });
    pair.servers[0].kill();
    let started_at = Instant::now();
    while pair.master_port() != other {
        assert!(started_at.elapsed() < TIME_LIMIT, "no failover");
        let statuses = check(&replicas, &cookies).await;
        assert!(
            statuses.iter().all(|it| matches!(it, 200 | 503)),
            "{statuses:?}"
        );
        sleep(Duration::from_millis(100)).await;
    }
    wait_until_all_are_in(&replicas, &cookies).await;
    for cookie in gone {
        let url = format!("http://127.0.0.1:{}/api/session", replicas.ports()[1]);
        let answer = http.get(url).header("cookie", cookie).send().await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    wait_until_counted(&replicas, &[&pair.servers[1]]).await;
}
