//! Issuers that send invalid responses.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use skriptoteket::clock::ManualClock;

use crate::resource_server::{application::Application, stub::Stub};

/// It has the form of a token, but no valid signature.
const TOKEN: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImEifQ.e30.AAAA";

/// More time than a busy machine needs.
const TIME_LIMIT: Duration = Duration::from_secs(20);

fn both(stub: &Stub, timeout: Duration) -> [Application; 2] {
    let clock = Arc::new(ManualClock::default());
    let audience = "https://api.example.org";
    [
        Application::new(&stub.url, clock.clone(), |server| {
            let server = server.audience(audience).timeout(timeout);
            server.verify_locally().unwrap()
        }),
        Application::new(&stub.url, clock, |server| {
            let server = server.audience(audience).timeout(timeout);
            let verifier = server.verify_by_introspection("itself", "sks_secret".into());
            verifier.unwrap()
        }),
    ]
}

#[tokio::test]
async fn an_issuer_that_lets_everybody_wait_is_given_up_and_all_wait_together() {
    let stub = Stub::silent();
    for application in both(&stub, Duration::from_millis(500)) {
        let before = stub.asked();
        let all = join_all((0..20).map(|_| application.identify(TOKEN)));
        let all = tokio::time::timeout(TIME_LIMIT, all).await;
        let all = all.unwrap();
        assert!(all.iter().all(|it| *it == Err("store_unavailable")));
        assert_eq!(stub.asked() - before, 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_none_lets_nobody_in() {
    let large = format!(
        r#"{{"active":true,"keys":[],"x":"{}"}}"#,
        "a".repeat(64 * 1024)
    );
    for (status, body, expected) in [
        (
            "500 Internal Server Error",
            r#"{"active":true}"#,
            "store_unavailable",
        ),
        ("503 Service Unavailable", "", "store_unavailable"),
        ("429 Too Many Requests", "", "store_unavailable"),
        ("401 Unauthorized", "", "internal_error"),
        ("404 Not Found", "", "internal_error"),
        ("204 No Content", "", "store_unavailable"),
        ("200 OK", "", "internal_error"),
        ("200 OK", "<html>", "internal_error"),
        ("200 OK", r#"{"active":true}"#, "internal_error"),
        ("200 OK", r#"{"keys":[]}"#, "internal_error"),
        ("200 OK", large.as_str(), "internal_error"),
    ] {
        let stub = Stub::with(status, "", body);
        let [locally, by_introspection] = both(&stub, TIME_LIMIT);
        let found = locally.identify(TOKEN).await;
        assert_eq!(found, Err("store_unavailable"), "{status} {body:.20}");
        let found = by_introspection.identify(TOKEN).await;
        assert_eq!(found, Err(expected), "{status} {body:.20}");
    }
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let elsewhere = Stub::with("200 OK", "", r#"{"active":false}"#);
    for status in [
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let location = format!("location: {}/\r\n", elsewhere.url);
        let stub = Stub::with(status, &location, "");
        for application in both(&stub, TIME_LIMIT) {
            assert_eq!(application.identify(TOKEN).await, Err("store_unavailable"));
        }
    }
    assert_eq!(elsewhere.asked(), 0);
}
