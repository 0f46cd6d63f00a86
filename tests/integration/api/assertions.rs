//! Clients that authenticate with a signed assertion (`private_key_jwt`).

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use skriptoteket_testing::jwt::{KeyPair, jwt, unsigned};

use crate::api::support::{Answer, Machine, ORIGIN, spawn_app, with_form};

/// Noon of 1 January 2026, where the clock of each test starts.
const NOW: i64 = 1_767_268_800;

/// Returns valid claims of `orders`, with those in `changed` replaced.
fn claims(jti: &str, changed: &Value) -> Value {
    let mut claims = json!({
        "iss": "orders", "sub": "orders", "aud": format!("{ORIGIN}/oauth2/token"),
        "iat": NOW, "exp": NOW + 60, "jti": jti,
    });
    let own = claims.as_object_mut().unwrap();
    own.extend(changed.as_object().unwrap().clone());
    claims
}

async fn ask(client: &Machine, assertion: &str) -> Answer {
    let fields = [
        ("grant_type", "client_credentials"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion),
    ];
    client
        .send(with_form(client.request("/oauth2/token"), &fields))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_assertion_is_accepted_once() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let pair = KeyPair::new("k1", 7);
    let body = json!({"id": "orders", "public_keys": pair.jwks()});
    let orders = app.register(&boss, body).await;
    let mut ledger = app.ledger();
    for audience in [
        json!(ORIGIN),
        json!(format!("{ORIGIN}/")),
        json!(["https://else.example", format!("{ORIGIN}/oauth2/token")]),
        json!(format!("{ORIGIN}/oauth2/introspect")),
        json!(format!("{ORIGIN}/oauth2/revoke")),
    ] {
        let assertion = pair.jwt(
            "JWT",
            &claims(&audience.to_string(), &json!({"aud": audience})),
        );
        ask(&orders, &assertion).await.expect_status(200);
        ledger.expect(&["successful_auths orders"]);
        ask(&orders, &assertion)
            .await
            .expect_error(401, "invalid_client");
        ledger.expect(&["failed_auths revoked_token orders"]);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_that_is_not_sound_is_refused_and_counted_as_what_it_is() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let (pair, thief) = (KeyPair::new("k1", 7), KeyPair::new("k1", 8));
    let body = json!({"id": "orders", "public_keys": pair.jwks()});
    let orders = app.register(&boss, body).await;
    app.register(&boss, json!({"id": "keyless"})).await;
    let sound = claims("a", &json!({}));
    let with = |changed: Value| pair.jwt("JWT", &claims("b", &changed));
    let with_public = |bytes: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&pair.public()).unwrap();
        mac.update(bytes);
        mac.finalize().into_bytes().to_vec()
    };
    let keyless = json!({"iss": "keyless", "sub": "keyless"});
    let nobody = json!({"iss": "nobody", "sub": "nobody"});
    for (assertion, series) in [
        (thief.jwt("JWT", &sound), "bad_signature orders"),
        (
            jwt(&json!({"alg": "HS256"}), &sound, with_public),
            "bad_signature orders",
        ),
        (
            format!("{}.", unsigned(&json!({"alg": "none"}), &sound)),
            "bad_signature orders",
        ),
        (with(json!({"exp": NOW - 61})), "expired_token orders"),
        (with(json!({"nbf": NOW + 61})), "expired_token orders"),
        (with(json!({"iat": NOW + 61})), "expired_token orders"),
        (
            with(json!({"aud": "https://else.example"})),
            "wrong_audience orders",
        ),
        (with(json!({"iss": "other"})), "wrong_audience orders"),
        (with(json!({"exp": NOW + 3661})), "malformed orders"),
        (with(json!({"jti": ""})), "malformed orders"),
        (with(json!({"jti": null})), "malformed orders"),
        (pair.jwt("at+jwt", &sound), "malformed _other"),
        (with(keyless), "bad_signature keyless"),
        (with(nobody), "unknown_service _other"),
        ("x.y.z".into(), "malformed _other"),
        ("x".repeat(9_000), "malformed _other"),
    ] {
        let mut ledger = app.ledger();
        let answer = ask(&orders, &assertion).await;
        answer.expect_error(401, "invalid_client");
        ledger.expect(&[&format!("failed_auths {series}")]);
    }
    // The clock of a client may differ from ours by up to a minute.
    app.clock.advance(Duration::from_secs(59));
    ask(&orders, &with(json!({"exp": NOW})))
        .await
        .expect_status(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_is_no_assertion() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let token = orders.token().await;
    let mut ledger = app.ledger();
    ask(&orders, &token)
        .await
        .expect_error(401, "invalid_client");
    ledger.expect(&["failed_auths malformed _other"]);
    app.stop().await;
}
