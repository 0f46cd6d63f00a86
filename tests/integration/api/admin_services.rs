//! `/api/admin/services`.

use std::time::Duration;

use serde_json::{Value, json};
use skriptoteket::accounts::Role;
use skriptoteket_testing::jwt::KeyPair;

use crate::api::support::{Browser, spawn_app, spawn_app_with};

const PATH: &str = "/api/admin/services";

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_registers_a_service_whose_secret_is_shown_once() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let body = json!({
        "id": "orders", "description": "Takes orders", "scopes": ["write", "read", "read"],
        "rate": "30/m", "burst": 5, "daily_quota": 1000,
    });
    let answer = boss.post(PATH, &body).await;
    let issued = answer.expect_status(201).json();
    assert_eq!(
        answer.header("location"),
        Some("/api/admin/services/orders")
    );
    let secret = issued["client_secret"].as_str().unwrap();
    assert!(secret.starts_with("sks_") && secret.len() == 47);
    assert_eq!(issued["client_id"], "orders");
    let service = &issued["service"];
    let credential = &service["credentials"][0];
    assert_eq!(
        *service,
        json!({
            "id": "orders", "description": "Takes orders", "disabled": false, "health": "healthy",
            "created_at": "2026-01-01T12:00:00Z", "last_heartbeat": null,
            "last_authentication": null, "scopes": ["read", "write"],
            "limits": {"rate": "30/m", "burst": 5, "daily_quota": 1000},
            "credentials": [{
                "id": credential["id"], "created_at": "2026-01-01T12:00:00Z",
                "expires_at": issued["client_secret_expires_at"], "retired_at": null,
            }],
            "public_keys": null,
        })
    );
    for path in [PATH, "/api/admin/services/orders"] {
        let answer = boss.get(path).await;
        answer.expect_status(200);
        assert!(!answer.text.contains(&secret[4..]), "{path}");
    }
    assert_eq!(
        boss.get("/api/admin/services/orders").await.json(),
        *service
    );
    boss.post(PATH, &json!({"id": "billing"}))
        .await
        .expect_status(201);
    let all = boss.get(PATH).await.json();
    let ids: Vec<_> = all["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    assert_eq!(ids, ["billing", "orders"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_be_is_not_registered() {
    let app = spawn_app_with(|config| config.services.most = 2).await;
    let boss = app.boss().await;
    boss.post(PATH, &json!({"id": "orders"}))
        .await
        .expect_status(201);
    let pair = KeyPair::new("k", 1);
    let mut private = pair.jwks();
    private["keys"][0]["d"] = json!("AAAA");
    let scopes: Vec<String> = (0..51).map(|it| it.to_string()).collect();
    for (body, status, kind) in [
        (json!({"id": "orders"}), 409, "/problems/service-taken"),
        (json!({"id": "Orders"}), 422, "/problems/invalid-value"),
        (json!({"id": "_other"}), 422, "/problems/invalid-value"),
        (json!({"id": ""}), 422, "/problems/invalid-value"),
        (
            json!({"id": "a", "scopes": ["a b"]}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "scopes": scopes}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "rate": "fast"}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "burst": 0}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "daily_quota": 0}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "daily_quota": u64::MAX}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "description": "x".repeat(201)}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "description": "a\nb"}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "public_keys": {}}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "public_keys": private}),
            422,
            "/problems/invalid-value",
        ),
        (
            json!({"id": "a", "public_keys": "x"}),
            400,
            "/problems/malformed-body",
        ),
        (
            json!({"id": "a", "burst": -1}),
            400,
            "/problems/malformed-body",
        ),
        (
            json!({"id": "a", "burst": 4_294_967_296_u64}),
            400,
            "/problems/malformed-body",
        ),
        (
            json!({"id": "a", "secret": "mine"}),
            400,
            "/problems/malformed-body",
        ),
        (json!({}), 400, "/problems/malformed-body"),
    ] {
        let answer = boss.post(PATH, &body).await;
        answer.expect_problem(status, kind);
        assert!(!answer.text.contains("AAAA"), "{}", answer.text);
    }
    boss.post(PATH, &json!({"id": "billing"}))
        .await
        .expect_status(201);
    let full = boss.post(PATH, &json!({"id": "third"})).await;
    full.expect_problem(409, "/problems/too-many-services");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_leaves_what_it_does_not_name() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let body =
        json!({"id": "orders", "rate": "30/m", "burst": 5, "daily_quota": 9, "scopes": ["a"]});
    boss.post(PATH, &body).await.expect_status(201);
    let path = "/api/admin/services/orders";
    let keys = KeyPair::new("k", 1).jwks();
    for (change, pointer, value) in [
        (
            json!({"burst": 6}),
            "/limits",
            json!({"rate": "30/m", "burst": 6, "daily_quota": 9}),
        ),
        (
            json!({"rate": "2/s"}),
            "/limits",
            json!({"rate": "2/s", "burst": 6, "daily_quota": 9}),
        ),
        (
            json!({"daily_quota": null}),
            "/limits",
            json!({"rate": "2/s", "burst": 6, "daily_quota": null}),
        ),
        (json!({"daily_quota": 7}), "/limits/daily_quota", json!(7)),
        (json!({"public_keys": keys}), "/public_keys", keys.clone()),
        (json!({"description": "d"}), "/public_keys", keys.clone()),
        (json!({"public_keys": null}), "/public_keys", Value::Null),
        (json!({"scopes": []}), "/scopes", json!([])),
        (json!({"disabled": true}), "/health", json!("disabled")),
        (json!({"disabled": false}), "/health", json!("healthy")),
    ] {
        let answer = boss.patch(path, &change).await;
        let service = answer.expect_status(200).json();
        assert_eq!(service.pointer(pointer), Some(&value), "{change}");
        assert_eq!(boss.get(path).await.json(), service);
    }
    for (change, status) in [
        (json!({}), 400),
        (json!({"id": "other"}), 400),
        (json!({"burst": 0}), 422),
        (json!({"public_keys": {"keys": []}}), 422),
    ] {
        boss.patch(path, &change).await.expect_status(status);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rotation_waits_for_the_overlap_unless_it_is_forced() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let path = "/api/admin/services/orders/rotate";
    let first = boss.post(path, &json!({"overlap_seconds": 600})).await;
    first.expect_status(200);
    let refused = boss.post(path, &json!({})).await;
    refused.expect_problem(409, "/problems/still-overlapping");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("2026-01-01T12:10:00Z"), "{detail}");
    orders.token().await;
    let forced = boss.post(path, &json!({"force": true})).await;
    let credentials = forced.expect_status(200).json()["service"]["credentials"].clone();
    assert_eq!(credentials.as_array().unwrap().len(), 2);
    assert!(credentials[0]["retired_at"].is_null() && credentials[1]["retired_at"].is_string());
    orders
        .ask_token(&[])
        .await
        .expect_error(401, "invalid_client");
    app.clock.advance(Duration::from_hours(24));
    let boss = app.logged_in("boss").await;
    // The body is optional.
    let rotated = boss.send(boss.request("POST", path)).await;
    rotated.expect_status(200);
    let spelled = json!({"overlap_seconds": 60.0, "force": true});
    boss.post(path, &spelled).await.expect_status(200);
    for (body, status) in [
        (json!({"overlap_seconds": 60.5}), 400),
        (json!({"overlap_seconds": 31_536_001}), 422),
        (json!({"overlap_seconds": -1}), 400),
        (json!({"force": "yes"}), 400),
    ] {
        boss.post(path, &body).await.expect_status(status);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_not_there_is_not_found() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    for id in ["nobody", "_other", "A", "a%20b", "%ff"] {
        let path = format!("{PATH}/{id}");
        boss.get(&path).await.expect_problem(404, "about:blank");
        boss.delete(&path).await.expect_problem(404, "about:blank");
        let change = json!({"disabled": true});
        boss.patch(&path, &change)
            .await
            .expect_problem(404, "about:blank");
        let rotate = boss.post(&format!("{path}/rotate"), &json!({})).await;
        rotate.expect_problem(404, "about:blank");
    }
    app.register(&boss, json!({"id": "orders"})).await;
    boss.delete("/api/admin/services/orders")
        .await
        .expect_status(204);
    boss.get("/api/admin/services/orders")
        .await
        .expect_status(404);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_for_superusers_of_the_same_site() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let admin = app.someone("ada", Role::Admin).await;
    let stranger = app.browser();
    for (method, path) in [
        ("GET", PATH),
        ("POST", PATH),
        ("GET", "/api/admin/services/orders"),
        ("PATCH", "/api/admin/services/orders"),
        ("DELETE", "/api/admin/services/orders"),
        ("POST", "/api/admin/services/orders/rotate"),
    ] {
        let body = json!({});
        let request = |browser: &Browser| browser.request(method, path).json(&body);
        admin
            .send(request(&admin))
            .await
            .expect_problem(403, "/problems/not-allowed");
        stranger
            .send(request(&stranger))
            .await
            .expect_problem(401, "/problems/no-session");
        if method != "GET" {
            let cross = request(&boss).header("sec-fetch-site", "cross-site");
            boss.send(cross)
                .await
                .expect_problem(403, "/problems/cross-site");
        }
    }
    // The access token of a service is not a session.
    let token = orders.token().await;
    let with_token = stranger.request("GET", PATH).bearer_auth(token);
    stranger.send(with_token).await.expect_status(401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_held_as_they_become_and_a_refused_change_changes_nothing() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    for body in [
        json!({"id": "a", "burst": 1_000_001}),
        json!({"id": "a", "rate": "1/d", "burst": 3_651}),
        json!({"id": "a", "daily_quota": 1_000_000_000_001_u64}),
    ] {
        let answer = boss.post(PATH, &body).await;
        answer.expect_problem(422, "/problems/invalid-value");
    }
    let body = json!({"id": "orders", "rate": "1/m", "burst": 5000});
    boss.post(PATH, &body).await.expect_status(201);
    let path = "/api/admin/services/orders";
    // Each change is valid on its own.
    let answer = boss
        .patch(path, &json!({"rate": "1/d", "description": "slow"}))
        .await;
    answer.expect_problem(422, "/problems/invalid-value");
    assert!(
        answer.text.contains("burst: at most 3650"),
        "{}",
        answer.text
    );
    for change in [
        json!({"burst": 0}),
        json!({"burst": 1_000_001}),
        json!({"daily_quota": 0}),
        json!({"daily_quota": 1_000_000_000_001_u64}),
    ] {
        let answer = boss.patch(path, &change).await;
        answer.expect_problem(422, "/problems/invalid-value");
    }
    let now = boss.get(path).await;
    assert_eq!(now.json()["description"], "");
    assert_eq!(
        now.json()["limits"],
        json!({"rate": "1/m", "burst": 5000, "daily_quota": null})
    );
    app.stop().await;
}
