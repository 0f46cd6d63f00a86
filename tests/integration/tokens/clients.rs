//! Client secrets and assertions.

use std::time::Duration;

use serde_json::{Value, json};
use skriptoteket::{
    clock::Clock,
    services::{ClientCredentials, Registration, RegistryError, TokenRequest},
};
use skriptoteket_testing::jwt::{KeyPair, jwt};

use crate::tokens::harness::{Harness, ISSUER, grant, named, reason, with_secret};

#[tokio::test]
async fn a_rotation_keeps_the_old_secret_for_the_overlap_and_counts_its_use() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let first = replica.register("orders").await;
    let id = &first.service.id;
    let overlap = harness.settings.credential_overlap;
    let second = replica.registry.rotate(id, None, false).await.unwrap();

    assert!(replica.token(&second).await.is_ok());
    let retired = || {
        let labels = [("service_id", "orders")];
        replica
            .metrics
            .counter("skriptoteket.retired_credential_uses", &labels)
    };
    assert_eq!(retired(), Some(0));
    assert!(replica.token(&first).await.is_ok());
    assert_eq!(retired(), Some(1));

    let third = replica.registry.rotate(id, None, false).await;
    let until = harness.clock.now().plus(overlap);
    assert!(matches!(third, Err(RegistryError::StillOverlapping { until: it }) if it == until));
    harness.pass(overlap);
    assert_eq!(
        reason(&replica.token(&first).await),
        Some("expired_credential")
    );
    assert_eq!(retired(), Some(1));
    assert!(replica.token(&second).await.is_ok());

    let third = replica.registry.rotate(id, None, false).await.unwrap();
    let fourth = replica.registry.rotate(id, None, true).await.unwrap();
    assert_eq!(reason(&replica.token(&first).await), Some("bad_secret"));
    assert_eq!(reason(&replica.token(&second).await), Some("bad_secret"));
    assert!(replica.token(&third).await.is_ok() && replica.token(&fourth).await.is_ok());
}

#[tokio::test]
async fn a_secret_expires_and_another_services_secret_is_none() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let (one, other) = (
        replica.register("one").await,
        replica.register("other").await,
    );
    let crossed = ClientCredentials::Secret {
        client: "one".into(),
        secret: other.secret.clone(),
    };
    let asked = replica.issue(crossed, &grant()).await;
    assert_eq!(reason(&asked), Some("bad_secret"));
    assert_eq!(replica.failed("one", "bad_secret"), 1);
    harness.pass(harness.settings.credential_lifetime);
    assert_eq!(
        reason(&replica.token(&one).await),
        Some("expired_credential")
    );
}

#[tokio::test]
async fn what_a_service_may_not_have_it_does_not_get_and_is_let_in_all_the_same() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let issued = replica.register("orders").await;
    let asks = async |token_request: TokenRequest| {
        let asked = replica.issue(with_secret(&issued), &token_request).await;
        asked.map(|it| {
            it.scopes
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        })
    };
    let scoped = |scope: &str| TokenRequest {
        scope: Some(scope.into()),
        ..grant()
    };
    assert_eq!(asks(grant()).await.unwrap(), ["read", "write"]);
    assert_eq!(asks(scoped("write write")).await.unwrap(), ["write"]);
    for token_request in [
        scoped("read admin"),
        scoped("read  write"),
        TokenRequest::default(),
        TokenRequest {
            grant_type: Some("password".into()),
            ..TokenRequest::default()
        },
        TokenRequest {
            audiences: vec!["https://elsewhere.example.org".into()],
            ..grant()
        },
    ] {
        let asked = asks(token_request).await;
        assert!(asked.is_err() && reason(&asked).is_none());
    }
    assert_eq!(replica.succeeded("orders"), 7);
}

/// Returns a service that signs its assertions with this key.
fn signing(id: &str, key: &KeyPair) -> Registration {
    Registration {
        public_keys: Some(key.jwks().to_string()),
        ..named(id)
    }
}

fn assertion(key: &KeyPair, claims: &Value) -> ClientCredentials {
    let header = json!({"alg": "EdDSA", "kid": key.id});
    ClientCredentials::Assertion {
        client: None,
        assertion: jwt(&header, claims, |bytes| key.sign(bytes)).into(),
    }
}

#[tokio::test]
async fn an_assertion_lets_in_once_on_all_replicas() {
    let harness = Harness::new();
    let (one, other) = (harness.replica().await, harness.replica().await);
    let (key, stranger) = (KeyPair::new("1", 7), KeyPair::new("1", 8));
    one.registry
        .register(signing("orders", &key))
        .await
        .unwrap();
    let now = harness.clock.now().as_millis() / 1_000;
    let claims = |jti: &str, aud: &str| json!({"iss": "orders", "sub": "orders", "aud": aud, "jti": jti, "exp": now + 300});
    let endpoint = format!("{ISSUER}/oauth2/token");
    let asks = async |replica: &crate::tokens::harness::Replica, credentials| {
        let asked = replica.issue(credentials, &grant()).await;
        reason(&asked).unwrap_or("let in")
    };
    assert_eq!(
        asks(&one, assertion(&key, &claims("a", ISSUER))).await,
        "let in"
    );
    assert_eq!(
        asks(&other, assertion(&key, &claims("a", ISSUER))).await,
        "revoked_token"
    );
    assert_eq!(
        asks(&other, assertion(&key, &claims("b", &endpoint))).await,
        "let in"
    );
    let elsewhere = claims("c", "https://elsewhere.example.org");
    assert_eq!(
        asks(&one, assertion(&key, &elsewhere)).await,
        "wrong_audience"
    );
    assert_eq!(
        asks(&one, assertion(&stranger, &claims("d", ISSUER))).await,
        "bad_signature"
    );
    harness.pass(Duration::from_secs(300 + 61));
    assert_eq!(
        asks(&one, assertion(&key, &claims("e", ISSUER))).await,
        "expired_token"
    );
}

#[tokio::test]
async fn a_sign_of_life_is_noted_once_in_a_while() {
    let harness = Harness::new();
    let replica = harness.replica().await;
    let issued = replica.register("orders").await;
    let id = &issued.service.id;
    replica.noted(id, None).await;
    let first = harness.clock.now();
    replica.token(&issued).await.unwrap();
    replica.noted(id, Some(first)).await;
    harness.pass(Duration::from_secs(5));
    replica.token(&issued).await.unwrap();
    replica.noted(id, Some(first)).await;
    harness.pass(Duration::from_secs(5));
    replica.token(&issued).await.unwrap();
    replica.noted(id, Some(harness.clock.now())).await;
    assert_eq!(
        replica.registry.find(id).await.unwrap().last_heartbeat,
        None
    );
    replica.clients.heartbeat(id).await.unwrap();
    assert!(
        replica
            .registry
            .find(id)
            .await
            .unwrap()
            .last_heartbeat
            .is_some()
    );
}
