//! Many simultaneous requests against a limit: exactly the allowed number is accepted.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use skriptoteket_testing::{
    http::plain,
    operator::{Operator, UNLIMITED},
    redis::RedisServer,
    service::Service,
};
use tokio::task::JoinSet;

/// The number of requests by HTTP status.
type Statuses = BTreeMap<u16, usize>;

/// Sends 500 requests of one service at once, spread evenly over all servers: half of them request tokens, half are
/// charged by `check`.
async fn crowd(servers: &[Service]) -> Statuses {
    let operator = Operator::of(&servers[0]).await;
    let caller = operator.register("orders", json!({})).await;
    let http = plain();
    let token = caller.token(&http, &servers[0]).await;
    let limits = json!({"rate": "36/h", "burst": 100});
    operator.change("orders", limits).await;
    // Every server knows of a change within 500 ms, or later on a slow machine. A request to find out would use up the
    // limit.
    tokio::time::sleep(Duration::from_secs(3)).await;

    let mut crowd = JoinSet::new();
    for n in 0..500 {
        let server = &servers[n % servers.len()];
        let request = if n % 4 < 2 {
            caller.token_request(&http, server)
        } else {
            caller.own(&http, server, "check", &token)
        };
        crowd.spawn(request.timeout(Duration::from_mins(1)).send());
    }
    let mut statuses = Statuses::new();
    while let Some(answer) = crowd.join_next().await {
        let answer = answer.unwrap().unwrap();
        let status = answer.status().as_u16();
        *statuses.entry(status).or_default() += 1;
        if status == 429 {
            let wait: u64 = answer.headers()["retry-after"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            // 0.01/s is one in 100 s.
            assert!((1..=100).contains(&wait), "{wait}");
            let left = answer.headers()["ratelimit"].to_str().unwrap();
            assert!(left.starts_with("\"requests\";r=0;"), "{left}");
        }
    }
    let mut refused = 0.0;
    for server in servers {
        let page = server.page().await;
        let series =
            r#"skriptoteket_rate_limit_exceeded_total{service_id="orders",limit_type="requests"}"#;
        refused += page.value(series);
    }
    assert_eq!(refused, 400.0);
    statuses
}

fn exactly_the_burst() -> Statuses {
    Statuses::from([(200, 100), (429, 400)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_500_requests_at_once_exactly_the_burst_of_100_passes_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [&UNLIMITED[..], &[("store_timeout", "20s")]].concat();
    let server = Service::start(dir.path(), &settings).await;
    assert_eq!(crowd(&[server]).await, exactly_the_burst());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_500_requests_at_once_exactly_the_burst_of_100_passes_two_replicas_on_redis() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let url = redis.url();
    let shared = [
        ("redis_url", url.as_str()),
        ("store_timeout", "20s"),
        // All replicas have the same issuer.
        ("public_url", "http://127.0.0.1:1"),
    ];
    let settings = [&UNLIMITED[..], &shared].concat();
    let servers = [
        Service::start(dir.path(), &settings).await,
        Service::start(dir.path(), &settings).await,
    ];
    assert_eq!(crowd(&servers).await, exactly_the_burst());
}
