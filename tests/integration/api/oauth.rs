//! The authorization server: issuing, introspecting and revoking tokens, and publishing keys.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use reqwest::StatusCode;
use serde_json::{Value, json};
use skriptoteket_testing::http::plain;

use crate::api::support::{ORIGIN, spawn_app};

fn decoded(part: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()
}

fn parsed(part: &str) -> Value {
    serde_json::from_slice(&decoded(part)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_a_token_that_the_published_keys_verify() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let body = json!({"id": "orders", "scopes": ["write", "read"]});
    let orders = app.register(&boss, body).await;
    let mut ledger = app.ledger();
    let answer = orders.ask_token(&[("scope", "read")]).await;
    ledger.expect(&["successful_auths orders"]);
    let body = answer.expect_status(200).json();
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"]),
        (&json!("Bearer"), &json!(600), &json!("read"))
    );
    assert!(answer.header("ratelimit").is_some() && answer.header("ratelimit-policy").is_some());

    let token = body["access_token"].as_str().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let header = parsed(parts[0]);
    let jwks = plain().get(format!("{}/.well-known/jwks.json", app.public));
    let jwks: Value = jwks.send().await.unwrap().json().await.unwrap();
    let keys = jwks["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == header["kid"]).unwrap();
    assert_eq!(
        (&header["typ"], &header["alg"]),
        (&json!("at+jwt"), &json!("EdDSA"))
    );
    let public: [u8; 32] = decoded(key["x"].as_str().unwrap()).try_into().unwrap();
    let signature = Signature::from_slice(&decoded(parts[2])).unwrap();
    let signed = format!("{}.{}", parts[0], parts[1]);
    let public = VerifyingKey::from_bytes(&public).unwrap();
    public.verify_strict(signed.as_bytes(), &signature).unwrap();
    let claims = parsed(parts[1]);
    for (name, value) in [
        ("iss", json!(ORIGIN)),
        ("aud", json!(ORIGIN)),
        ("sub", json!("orders")),
        ("client_id", json!("orders")),
        ("scope", json!("read")),
        ("iat", json!(1_767_268_800)),
        ("exp", json!(1_767_269_400)),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    let all = orders.ask_token(&[]).await.json();
    assert_eq!(all["scope"], "read write");
    let labels = [("operation", "token_issue"), ("service_id", "orders")];
    let latency = app
        .metrics
        .histogram_count("skriptoteket.auth_latency", &labels);
    assert_eq!(latency, Some(2));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_may_not_have_is_refused_by_the_name_that_the_rfc_gives_it() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let body = json!({"id": "orders", "scopes": ["read"]});
    let orders = app.register(&boss, body).await;
    let mut ledger = app.ledger();
    for (fields, error) in [
        (&[("grant_type", "password")][..], "unsupported_grant_type"),
        (
            &[("grant_type", "authorization_code"), ("code", "x")],
            "unsupported_grant_type",
        ),
        (&[], "invalid_request"),
        (&[("grant_type", "")], "invalid_request"),
        (
            &[("grant_type", "client_credentials"), ("scope", "write")],
            "invalid_scope",
        ),
        (
            &[
                ("grant_type", "client_credentials"),
                ("scope", "read  read"),
            ],
            "invalid_scope",
        ),
        (
            &[
                ("grant_type", "client_credentials"),
                ("resource", "https://else.example"),
            ],
            "invalid_target",
        ),
        (
            &[
                ("grant_type", "client_credentials"),
                ("resource", ORIGIN),
                ("resource", "x"),
            ],
            "invalid_target",
        ),
    ] {
        let answer = orders.form("/oauth2/token", fields).await;
        answer.expect_error(400, error);
        // The client has authenticated.
        ledger.expect(&["successful_auths orders"]);
    }
    let answer = orders
        .ask_token(&[
            ("scope", "read read"),
            ("resource", ORIGIN),
            // The same URI (RFC 3986, section 6.2.3).
            ("resource", &format!("{ORIGIN}/")),
            ("foo", "1"),
            ("foo", "2"),
        ])
        .await;
    assert_eq!(answer.expect_status(200).json()["scope"], "read");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_tells_all_of_a_valid_token_and_nothing_of_any_other() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app
        .register(&boss, json!({"id": "orders", "scopes": ["a"]}))
        .await;
    let gateway = app.register(&boss, json!({"id": "gateway"})).await;
    let token = orders.token().await;
    let mut ledger = app.ledger();
    let fields = [("token", token.as_str()), ("token_type_hint", "x")];
    let asked = gateway.form("/oauth2/introspect", &fields);
    let body = asked.await.expect_status(200).json();
    ledger.expect(&[
        "successful_auths gateway",
        "token_verifications orders valid",
    ]);
    let jti = &body["jti"];
    assert_eq!(
        body,
        json!({
            "active": true, "scope": "a", "client_id": "orders", "sub": "orders", "aud": ORIGIN,
            "iss": ORIGIN, "exp": 1_767_269_400, "iat": 1_767_268_800, "jti": jti,
            "token_type": "Bearer",
        })
    );
    for (token, status) in [("x.y.z", "malformed"), ("garbage", "malformed")] {
        let answer = gateway
            .form("/oauth2/introspect", &[("token", token)])
            .await;
        assert_eq!(answer.expect_status(200).json(), json!({"active": false}));
        let verification = format!("token_verifications _other {status}");
        ledger.expect(&["successful_auths gateway", &verification]);
    }
    app.clock.advance(Duration::from_secs(661));
    let answer = gateway
        .form("/oauth2/introspect", &[("token", &token)])
        .await;
    assert_eq!(answer.json(), json!({"active": false}));
    ledger.expect(&[
        "successful_auths gateway",
        "token_verifications orders expired_token",
    ]);
    let answer = gateway.form("/oauth2/introspect", &[]).await;
    answer.expect_error(400, "invalid_request");
    ledger.expect(&["successful_auths gateway"]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_revoked_by_its_own_client_and_refused_at_once() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let gateway = app.register(&boss, json!({"id": "gateway"})).await;
    let token = orders.token().await;
    orders.check(&token).await.expect_status(200);
    let answer = gateway.form("/oauth2/revoke", &[("token", &token)]).await;
    answer.expect_error(400, "invalid_grant");
    orders.check(&token).await.expect_status(200);
    let mut ledger = app.ledger();
    for _ in 0..2 {
        let answer = orders.form("/oauth2/revoke", &[("token", &token)]).await;
        assert_eq!(answer.expect_status(200).text, "");
        ledger.expect(&["successful_auths orders"]);
    }
    orders
        .check(&token)
        .await
        .expect_challenge(401, Some("invalid_token"));
    ledger.expect(&[
        "failed_auths revoked_token orders",
        "token_verifications orders revoked_token",
    ]);
    let answer = gateway
        .form("/oauth2/introspect", &[("token", &token)])
        .await;
    assert_eq!(answer.json(), json!({"active": false}));
    let none = orders
        .form("/oauth2/revoke", &[("token", "none at all")])
        .await;
    none.expect_status(200);
    let missing = orders.form("/oauth2/revoke", &[]).await;
    missing.expect_error(400, "invalid_request");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_may_be_kept_for_some_minutes_and_are_sent_again_only_if_they_changed() {
    let app = spawn_app().await;
    let get = async |known: Option<&str>| {
        let mut request = plain().get(format!("{}/.well-known/jwks.json", app.public));
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        request.send().await.unwrap()
    };
    let first = get(None).await;
    assert_eq!(first.headers()["content-type"], "application/jwk-set+json");
    assert_eq!(first.headers()["cache-control"], "public, max-age=300");
    assert_eq!(first.headers()["x-content-type-options"], "nosniff");
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let text = first.text().await.unwrap();
    assert!(!text.contains("\"d\""), "a private key is published");
    for known in [tag.as_str(), "*", &format!("\"x\", W/{tag}")] {
        let same = get(Some(known)).await;
        assert_eq!(same.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(same.headers()["etag"], tag.as_str());
        assert_eq!(same.headers()["cache-control"], "public, max-age=300");
    }
    for other in ["\"other\"", "garbage"] {
        assert_eq!(get(Some(other)).await.status(), StatusCode::OK, "{other}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_leads_to_every_endpoint() {
    let app = spawn_app().await;
    let url = format!("{}/.well-known/oauth-authorization-server", app.public);
    let answer = plain().get(url).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["issuer"], ORIGIN);
    assert_eq!(body["grant_types_supported"], json!(["client_credentials"]));
    assert_eq!(body["response_types_supported"], json!([]));
    for (name, status) in [
        ("token_endpoint", 405),
        ("introspection_endpoint", 405),
        ("revocation_endpoint", 405),
        ("jwks_uri", 200),
    ] {
        let path = body[name].as_str().unwrap().strip_prefix(ORIGIN).unwrap();
        let answer = plain().get(format!("{}{path}", app.public)).send().await;
        assert_eq!(answer.unwrap().status(), status, "{name}");
    }
    app.stop().await;
}
