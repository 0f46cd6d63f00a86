//! Unavailable stores: no data is lost, no internals are disclosed, and the client learns when to retry.

use std::{net::TcpListener, time::Duration};

use serde_json::json;
use skriptoteket::http::{ConnectionLimits, Management, Readiness, Timeouts, serve_management};
use skriptoteket_testing::http::plain;

use crate::api::support::{PASSWORD, host};

const LIMITS: ConnectionLimits = ConnectionLimits {
    most: 16,
    timeouts: Timeouts {
        head: Duration::from_secs(5),
        body: Duration::from_secs(10),
        keep_alive: Duration::from_secs(75),
        close: Duration::from_secs(1),
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_all_is_503_and_the_cookie_stays() {
    let host = host().await;
    let browser = host.ada().await;
    let cookie = browser.cookie();
    host.stores.close().await;
    let login = json!({"username": "ada", "password": PASSWORD});
    for (method, path, body) in [
        ("GET", "/api/session", None),
        ("GET", "/api/sessions", None),
        ("DELETE", "/api/sessions", None),
        ("POST", "/api/logout", None),
        ("POST", "/visits", None),
        ("POST", "/api/login", Some(&login)),
        ("PUT", "/api/session", None),
    ] {
        let request = browser.request(method, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        let answer = browser.send(request).await;
        answer.expect_problem(503, "about:blank");
        assert_eq!(answer.retry_after(), 2, "{method} {path}");
        assert!(answer.set_cookies().is_empty(), "{method} {path}");
    }
    assert_eq!(browser.cookie(), cookie);
    let labels = [
        ("http.request.method", "GET"),
        ("http.response.status_code", "503"),
        ("http.route", "/api/session"),
        ("url.scheme", "http"),
    ];
    let name = "http.server.request.duration";
    assert_eq!(host.metrics.histogram_count(name, &labels), Some(1));
    // A request without a session does not query the store.
    host.browser().get("/api/session").await.expect_status(401);
    let stranger = host.browser().post("/api/login", &login).await;
    stranger.expect_status(503);
    // A login is counted, whatever cookie the request has.
    let reason = [("reason", "store_unavailable")];
    let counted = host.metrics.counter("skriptoteket.login_failures", &reason);
    assert_eq!(counted, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_lives_but_is_not_ready_and_says_why() {
    let host = host().await;
    let management = Management {
        page: host.telemetry.page(),
        token: None,
        readiness: Readiness {
            accounts: host.api.accounts.clone(),
            sessions: host.stores.sessions.clone(),
            timeout: Duration::from_secs(30),
        },
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve_management(management, listener, LIMITS).unwrap();
    let handle = server.handle();
    tokio::spawn(server);
    let get = async |path: &str| {
        plain()
            .get(format!("http://{address}{path}"))
            .send()
            .await
            .unwrap()
    };
    assert_eq!(get("/readyz").await.status(), 200);
    host.stores.close().await;
    assert_eq!(get("/livez").await.status(), 200);
    assert_eq!(get("/metrics").await.status(), 200);
    let answer = get("/readyz").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let body: serde_json::Value = answer.json().await.unwrap();
    // Operators see the cause.
    let detail = body["detail"].as_str().unwrap();
    for store in ["accounts", "sessions"] {
        let fault = format!("{store}: the store is unavailable: ");
        assert!(detail.contains(&fault), "{detail}");
    }
    assert!(detail.contains("closed pool"), "{detail}");
    handle.stop(false).await;
}
