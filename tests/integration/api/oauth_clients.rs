//! Clients that fail to authenticate: the responses that they receive and how they are counted.

use std::time::Duration;

use serde_json::{Value, json};
use skriptoteket::services::{FailurePolicy, KeyAlgorithm, NewSigningKey};
use skriptoteket_testing::jwt::basic;

use crate::api::support::{App, Browser, Machine, host, host_that, spawn_app};

const ENDPOINTS: [&str; 3] = ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"];
const FORM: &str = "application/x-www-form-urlencoded";

async fn orders(app: &App) -> (Browser, Machine) {
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    (boss, orders)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_let_in_is_told_the_same_and_counted_as_what_it_is() {
    let app = spawn_app().await;
    let (boss, orders) = orders(&app).await;
    let expect = async |client: &Machine, series: &str| {
        let mut texts = Vec::new();
        for path in ENDPOINTS {
            let mut ledger = app.ledger();
            let answer = client.form(path, &[("token", "x")]).await;
            answer.expect_error(401, "invalid_client");
            ledger.expect(&[series]);
            texts.push(answer.text);
        }
        texts
    };
    let wrong = orders.with_secret("wrong");
    let texts = expect(&wrong, "failed_auths bad_secret orders").await;
    let mut stranger = orders.with_secret("wrong");
    for id in ["nobody", "_other", "", "ORDERS", "a b"] {
        stranger.id = id.into();
        let same = expect(&stranger, "failed_auths unknown_service _other").await;
        assert_eq!(same, texts);
    }
    let path = "/api/admin/services/orders";
    boss.patch(path, &json!({"disabled": true}))
        .await
        .expect_status(200);
    assert_eq!(expect(&orders, "failed_auths disabled orders").await, texts);
    boss.patch(path, &json!({"disabled": false}))
        .await
        .expect_status(200);
    orders.token().await;
    app.clock.advance(Duration::from_hours(24 * 366));
    assert_eq!(
        expect(&orders, "failed_auths expired_credential orders").await,
        texts
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_read_counts_once_as_malformed() {
    let app = spawn_app().await;
    let (_, orders) = orders(&app).await;
    let (id, secret) = (&orders.id, &orders.secret);
    let own = basic(id, secret);
    let post = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let large = format!("{post}&x={}", "y".repeat(64 * 1024));
    let assertion = "client_assertion=x.y.z&client_assertion_type=\
        urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let twice = format!("{post}&client_id={id}");
    let both = format!("{post}&{assertion}");
    let percent = format!("{post}&x=%zz");
    for (authorization, media, body, query, status, error) in [
        (
            None,
            FORM,
            "grant_type=client_credentials",
            "",
            401,
            "invalid_client",
        ),
        (None, FORM, "", "", 401, "invalid_client"),
        (Some("Bearer x"), FORM, "", "", 401, "invalid_client"),
        (None, FORM, "client_id=orders", "", 401, "invalid_client"),
        (
            Some(own.as_str()),
            FORM,
            post.as_str(),
            "",
            400,
            "invalid_request",
        ),
        (Some(&own), FORM, assertion, "", 400, "invalid_request"),
        (None, FORM, &both, "", 400, "invalid_request"),
        (None, FORM, &twice, "", 400, "invalid_request"),
        (None, FORM, &percent, "", 400, "invalid_request"),
        (None, FORM, "scope=%ff", "", 400, "invalid_request"),
        (Some("Basic !!"), FORM, "", "", 401, "invalid_client"),
        (Some("Basic"), FORM, "", "", 401, "invalid_client"),
        (
            Some(&own),
            FORM,
            "client_id=other",
            "",
            400,
            "invalid_request",
        ),
        (None, FORM, "client_secret=x", "", 400, "invalid_request"),
        (None, FORM, "client_assertion=x", "", 400, "invalid_request"),
        (None, FORM, assertion, "", 401, "invalid_client"),
        (
            None,
            FORM,
            &post,
            "?client_secret=x",
            400,
            "invalid_request",
        ),
        (
            Some(&own),
            FORM,
            "",
            "?grant_type=client_credentials",
            400,
            "invalid_request",
        ),
        (Some(&own), FORM, "", "?token=x", 400, "invalid_request"),
        (
            Some(&own),
            "application/json",
            "{}",
            "",
            400,
            "invalid_request",
        ),
        (Some(&own), "text/plain", "", "", 400, "invalid_request"),
        (Some(&own), "", "", "", 400, "invalid_request"),
        (None, FORM, &large, "", 413, "invalid_request"),
    ] {
        for path in ENDPOINTS {
            let mut ledger = app.ledger();
            let request = orders.request(&format!("{path}{query}"));
            let mut request = request.header("content-type", media).body(body.to_owned());
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            orders.send(request).await.expect_error(status, error);
            ledger.expect(&["failed_auths malformed _other"]);
        }
    }
    let request = orders.request("/oauth2/token").header("content-type", FORM);
    orders.send(request.body(post)).await.expect_status(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_are_never_our_own_fault() {
    let app = spawn_app().await;
    let (_, orders) = orders(&app).await;
    let mut bodies: Vec<Vec<u8>> = vec![
        b"\0\0\0".to_vec(),
        b"&&&===".to_vec(),
        b"token".repeat(10_000),
        "token=\u{1f600}".into(),
        b"token=%00%01%02".to_vec(),
        b"token=a.b.c&".to_vec(),
        b"grant_type=client_credentials&scope=%00".to_vec(),
        [b"token=".to_vec(), b"a".repeat(60_000)].concat(),
        [b"token=".to_vec(), b".".repeat(60_000)].concat(),
        b"client_assertion=..&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer".to_vec(),
    ];
    bodies.extend((0..=255_u8).step_by(15).map(|it| vec![it; 100]));
    for body in bodies {
        for path in ENDPOINTS {
            for authorization in [basic(&orders.id, &orders.secret), "Basic Og==".into()] {
                let mut ledger = app.ledger();
                let request = orders.request(path).header("content-type", FORM);
                let request = request.header("authorization", authorization);
                let answer = orders.send(request.body(body.clone())).await;
                assert!(answer.status.as_u16() < 500, "{body:.40?}: {}", answer.text);
                let moved = ledger.moved();
                let auths = moved.iter().filter(|(it, _)| it.contains("_auths "));
                assert_eq!(auths.map(|(_, by)| by).sum::<u64>(), 1, "{moved:?}");
            }
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_too_many_tokens_is_told_when_to_come_back() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let body = json!({"id": "orders", "rate": "1/m", "burst": 2});
    let orders = app.register(&boss, body).await;
    let mut ledger = app.ledger();
    for left in [1, 0] {
        let answer = orders.ask_token(&[]).await;
        answer.expect_status(200);
        let limit = answer.header("ratelimit").unwrap();
        assert!(
            limit.starts_with(&format!(r#""requests";r={left};t="#)),
            "{limit}"
        );
        ledger.expect(&["successful_auths orders"]);
    }
    let answer = orders.ask_token(&[]).await;
    answer.expect_error(429, "temporarily_unavailable");
    assert_eq!(answer.retry_after(), 60);
    assert_eq!(answer.header("ratelimit"), Some(r#""requests";r=0;t=60"#));
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some(r#""requests";q=2;w=120"#)
    );
    ledger.expect(&[
        "failed_auths rate_limited orders",
        "rate_limit_exceeded requests orders",
    ]);
    app.clock.advance(Duration::from_mins(1));
    orders.token().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_replaced_is_accepted_for_a_while_and_counted() {
    let app = spawn_app().await;
    let (boss, orders) = orders(&app).await;
    let path = "/api/admin/services/orders/rotate";
    let answer = boss.post(path, &json!({"overlap_seconds": 3600})).await;
    let issued: Value = answer.expect_status(200).json();
    let renewed = orders.with_secret(issued["client_secret"].as_str().unwrap());
    let mut ledger = app.ledger();
    renewed.token().await;
    ledger.expect(&["successful_auths orders"]);
    orders.token().await;
    ledger.expect(&["successful_auths orders", "retired_credential_uses orders"]);
    app.clock.advance(Duration::from_hours(1));
    orders
        .ask_token(&[])
        .await
        .expect_error(401, "invalid_client");
    ledger.expect(&["failed_auths expired_credential orders"]);
    renewed.token().await;
    ledger.expect(&["successful_auths orders"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belonged_to_a_deleted_service_is_none_of_its_successors() {
    let app = spawn_app().await;
    let (boss, old) = orders(&app).await;
    let token = old.token().await;
    boss.delete("/api/admin/services/orders")
        .await
        .expect_status(204);
    let mut ledger = app.ledger();
    old.ask_token(&[]).await.expect_error(401, "invalid_client");
    ledger.expect(&["failed_auths unknown_service _other"]);
    old.check(&token)
        .await
        .expect_challenge(401, Some("invalid_token"));
    ledger.expect(&[
        "failed_auths unknown_service _other",
        "token_verifications _other unknown_service",
    ]);
    let new = app.register(&boss, json!({"id": "orders"})).await;
    old.ask_token(&[]).await.expect_error(401, "invalid_client");
    ledger.expect(&["failed_auths bad_secret orders"]);
    old.check(&token)
        .await
        .expect_challenge(401, Some("invalid_token"));
    ledger.expect(&[
        "failed_auths unknown_service orders",
        "token_verifications orders unknown_service",
    ]);
    new.check(&new.token().await).await.expect_status(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_503_and_no_stale_yes() {
    for policy in [FailurePolicy::Closed, FailurePolicy::Open] {
        let host = host_that(policy).await;
        let orders = host.register("orders").await;
        let token = orders.token().await;
        host.stores.close().await;
        // The cached data has expired.
        host.clock.advance(Duration::from_secs(1));
        let mut ledger = host.ledger();
        for path in ENDPOINTS {
            let answer = orders.form(path, &[("token", &token)]).await;
            answer.expect_error(503, "temporarily_unavailable");
            ledger.expect(&["failed_auths store_unavailable orders"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_read_are_our_own_fault() {
    let host = host().await;
    let orders = host.register("orders").await;
    let token = orders.token().await;
    let keys = host.stores.tokens.keys().await.unwrap();
    let key = NewSigningKey {
        id: "broken".into(),
        algorithm: KeyAlgorithm::EdDsa,
        private: vec![1, 2, 3].into(),
        active_in: Duration::ZERO,
        others_last: Duration::from_hours(1),
    };
    let newest = keys.last().map(|key| key.id.as_str());
    assert!(host.stores.tokens.add_key(key, newest).await.unwrap());
    host.clock.advance(Duration::from_secs(1));
    let mut ledger = host.ledger();
    for path in ENDPOINTS {
        let answer = orders.form(path, &[("token", "x")]).await;
        answer.expect_error(500, "server_error");
        assert!(!answer.text.contains("broken"), "{}", answer.text);
        ledger.expect(&["failed_auths internal_error orders"]);
    }
    let answer = orders.check(&token).await;
    answer.expect_problem(500, "about:blank");
    assert!(!answer.text.contains("broken"), "{}", answer.text);
    ledger.expect(&[
        "failed_auths internal_error _other",
        "token_verifications _other internal_error",
    ]);
}
