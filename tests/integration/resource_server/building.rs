//! Construction of verifiers, and the settings that they reject.

use std::{sync::Arc, time::Duration};

use skriptoteket::{
    catalogue::CATALOGUE,
    clock::ManualClock,
    resource_server::{ResourceServer, ResourceServerError},
    services::AuthMetrics,
    telemetry::Telemetry,
};

fn server(issuer: &str) -> ResourceServer {
    let (telemetry, _) = Telemetry::in_memory(CATALOGUE);
    let clock = Arc::new(ManualClock::default());
    ResourceServer::of(issuer, AuthMetrics::new(&telemetry.meter(), &[], clock))
}

#[test]
fn an_issuer_is_https_or_on_loopback() {
    let made = |issuer: &str| server(issuer).audience("a").verify_locally();
    for good in [
        "https://login.example.org",
        "https://login.example.org/",
        "https://login.example.org:8443/tenant",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "http://localhost",
    ] {
        assert!(made(good).is_ok(), "{good}");
    }
    for clear in [
        "http://login.example.org",
        "http://192.0.2.1",
        "http://localhost.example.org",
    ] {
        assert!(
            matches!(made(clear), Err(ResourceServerError::Clear)),
            "{clear}"
        );
    }
    for bad in [
        "",
        "login.example.org",
        "ftp://login.example.org",
        "https://",
        "https://me:secret@login.example.org",
        "https://login.example.org?x=1",
        "https://login.example.org#x",
        "file:///etc/passwd",
    ] {
        let error = made(bad).unwrap_err();
        assert!(matches!(error, ResourceServerError::Issuer), "{bad}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn an_audience_a_timeout_and_credentials_have_to_be_sound() {
    let issuer = "https://login.example.org";
    let made = server(issuer).verify_locally();
    assert!(matches!(made, Err(ResourceServerError::NoAudience)));
    for wrong in [
        Duration::ZERO,
        Duration::from_millis(9),
        Duration::from_secs(61),
    ] {
        let made = server(issuer).audience("a").timeout(wrong).verify_locally();
        assert!(
            matches!(made, Err(ResourceServerError::Timeout)),
            "{wrong:?}"
        );
    }
    let made = |id: &str, secret: &str| {
        let server = server(issuer).audience("a");
        server.verify_by_introspection(id, secret.into())
    };
    assert!(made("orders", "sks_x").is_ok());
    assert!(matches!(
        made("Orders", "sks_x"),
        Err(ResourceServerError::ClientId(_))
    ));
    for wrong in ["", "a b", "é", "a\n"] {
        let made = made("orders", wrong);
        assert!(
            matches!(made, Err(ResourceServerError::ClientSecret)),
            "{wrong:?}"
        );
    }
}

#[test]
fn nothing_that_is_written_for_debugging_shows_a_secret() {
    let server = server("https://login.example.org").audience("a");
    let local = format!("{:?}", server.clone().verify_locally().unwrap());
    assert!(local.contains("login.example.org"), "{local}");
    let verifier = server.verify_by_introspection("orders", "sks_planted".into());
    let shown = format!("{:?}", verifier.unwrap());
    assert!(shown.contains("orders"), "{shown}");
    assert!(!shown.contains("planted"), "{shown}");
}
