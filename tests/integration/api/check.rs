//! `/api/services/{id}`: limits and heartbeats.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use skriptoteket::services::FailurePolicy;

use crate::api::support::{Browser, host_that, spawn_app};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_passes_until_the_burst_is_spent() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let body = json!({"id": "orders", "rate": "1/m", "burst": 3});
    let orders = app.register(&boss, body).await;
    let token = orders.token().await;
    let mut ledger = app.ledger();
    for left in [1, 0] {
        let answer = orders.check(&token).await;
        let body = answer.expect_status(200).json();
        assert_eq!(body, json!({"allowed": true, "remaining": left}));
        // The next request is refilled within a minute, however many are left.
        let limit = format!(r#""requests";r={left};t=60"#);
        assert_eq!(answer.header("ratelimit"), Some(limit.as_str()));
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some(r#""requests";q=3;w=180"#)
        );
        ledger.expect(&[
            "successful_auths orders",
            "token_verifications orders valid",
        ]);
    }
    let answer = orders.check(&token).await;
    answer.expect_problem(429, "/problems/too-many-requests");
    assert_eq!(answer.retry_after(), 60);
    assert_eq!(answer.header("ratelimit"), Some(r#""requests";r=0;t=60"#));
    // The token is valid, so no failed authentication is counted.
    ledger.expect(&[
        "successful_auths orders",
        "token_verifications orders valid",
        "rate_limit_exceeded requests orders",
    ]);
    let labels = [("operation", "limit_check"), ("service_id", "orders")];
    let latency = app
        .metrics
        .histogram_count("skriptoteket.auth_latency", &labels);
    assert_eq!(latency, Some(3));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_500_at_once_exactly_the_burst_passes() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let body = json!({"id": "orders", "rate": "0.01/s", "burst": 101});
    let orders = app.register(&boss, body).await;
    // The token request is the first of the 101.
    let token = orders.token().await;
    let answers = join_all((0..500).map(|_| orders.check(&token))).await;
    let count = |status: u16| answers.iter().filter(|it| it.status == status).count();
    assert_eq!((count(200), count(429)), (100, 400));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_quota_ends_at_midnight() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let body = json!({"id": "orders", "daily_quota": 3});
    let orders = app.register(&boss, body).await;
    // The clock starts at noon.
    app.clock.advance(Duration::from_secs(12 * 3600 - 10));
    let token = orders.token().await;
    for left in [1, 0] {
        let answer = orders.check(&token).await;
        assert_eq!(answer.expect_status(200).json()["remaining"], left);
        let limit = answer.header("ratelimit").unwrap();
        assert!(
            limit.ends_with(&format!(r#", "daily_quota";r={left};t=10"#)),
            "{limit}"
        );
        let policy = answer.header("ratelimit-policy").unwrap();
        assert!(
            policy.ends_with(r#", "daily_quota";q=3;w=86400"#),
            "{policy}"
        );
    }
    let mut ledger = app.ledger();
    let answer = orders.check(&token).await;
    answer.expect_problem(429, "/problems/too-many-requests");
    assert_eq!(answer.retry_after(), 10);
    ledger.expect(&[
        "successful_auths orders",
        "token_verifications orders valid",
        "rate_limit_exceeded daily_quota orders",
    ]);
    app.clock.advance(Duration::from_secs(9));
    assert_eq!(
        orders.check(&token).await.expect_status(429).retry_after(),
        1
    );
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(
        orders.check(&token).await.expect_status(200).json()["remaining"],
        2
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_cannot_be_checked_follow_the_policy_and_are_counted() {
    for (policy, status, counted) in [
        (FailurePolicy::Closed, 503, "rate_limit_failures closed"),
        (FailurePolicy::Open, 200, "rate_limit_failures open"),
    ] {
        let host = host_that(policy).await;
        let orders = host.register("orders").await;
        let token = orders.token().await;
        orders.check(&token).await.expect_status(200);
        // The cached data stays fresh because the clock does not move.
        host.stores.close().await;
        let mut ledger = host.ledger();
        let answer = orders.check(&token).await;
        answer.expect_status(status);
        if status == 200 {
            assert_eq!(answer.json(), json!({"allowed": true, "remaining": null}));
        }
        assert_eq!(answer.header("ratelimit"), None);
        ledger.expect(&[
            "successful_auths orders",
            "token_verifications orders valid",
            counted,
        ]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_speaks_for_itself_only() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    app.register(&boss, json!({"id": "other"})).await;
    let token = orders.token().await;
    for id in ["other", "nobody", "%ff", "ORDERS", "a%2fb"] {
        for what in ["check", "heartbeat"] {
            let mut ledger = app.ledger();
            let path = format!("/api/services/{id}/{what}");
            let answer = orders.send(orders.request(&path).bearer_auth(&token)).await;
            answer.expect_problem(403, "/problems/not-own");
            ledger.expect(&[
                "successful_auths orders",
                "token_verifications orders valid",
            ]);
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_noted_and_keeps_a_service_healthy() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    app.clock.advance(Duration::from_hours(24));
    let boss = app.logged_in("boss").await;
    assert_eq!(boss_view(&boss).await["health"], "stale");
    let token = orders.token().await;
    let beat = orders
        .request("/api/services/orders/heartbeat")
        .bearer_auth(&token);
    let mut ledger = app.ledger();
    orders.send(beat).await.expect_status(204);
    ledger.expect(&[
        "successful_auths orders",
        "token_verifications orders valid",
    ]);
    // Authentications are recorded in the background.
    let mut seen = boss_view(&boss).await;
    for _ in 0..12_000 {
        if !seen["last_authentication"].is_null() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        seen = boss_view(&boss).await;
    }
    assert_eq!(seen["health"], "healthy");
    assert_eq!(seen["last_heartbeat"], "2026-01-02T12:00:00Z");
    assert_eq!(seen["last_authentication"], "2026-01-02T12:00:00Z");
    app.stop().await;
}

async fn boss_view(boss: &Browser) -> Value {
    let answer = boss.get("/api/admin/services/orders").await;
    answer.expect_status(200).json()
}
