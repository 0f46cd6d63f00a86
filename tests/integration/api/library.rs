//! Another Actix application that embeds the HTTP contract: same sessions, same metrics, pages of its own.

use std::time::Duration;

use serde_json::json;
use skriptoteket_testing::http::plain;

use crate::api::support::{Answer, Browser, PASSWORD, host};

async fn post(browser: &Browser, path: &str) -> Answer {
    browser.send(browser.request("POST", path)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_kept_in_the_session_of_someone_who_is_logged_in() {
    let host = host().await;
    let browser = host.ada().await;
    for visits in 1..=3 {
        let answer = post(&browser, "/visits").await;
        assert_eq!(answer.expect_status(200).json(), visits);
        assert!(answer.set_cookies().is_empty(), "the cookie is already set");
    }
    assert_eq!(post(&host.ada().await, "/visits").await.json(), 1);
    browser.log_in("ada").await.expect_status(200);
    assert_eq!(
        post(&browser, "/visits").await.json(),
        1,
        "state of the previous session"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_is_not_logged_in_gets_no_session() {
    let host = host().await;
    let browser = host.browser();
    for _ in 0..2 {
        let answer = post(&browser, "/visits").await;
        assert_eq!(answer.expect_status(200).json(), 1);
        assert!(answer.set_cookies().is_empty());
    }
    let census = host.stores.sessions.census().await.unwrap();
    assert_eq!(census.totals.started, [0; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_request_does_not_bring_back_a_session_that_was_logged_out() {
    let host = host().await;
    let browser = host.ada().await;
    let cookie = browser.cookie().unwrap();
    let slow = post(&browser, "/slow");
    let logout = async {
        host.slow.reached().await;
        let other_tab = host.browser();
        other_tab.set_cookie("skriptoteket", &cookie);
        post(&other_tab, "/api/logout").await.expect_status(204);
        host.slow.go_on();
    };
    let (answer, ()) = tokio::join!(slow, logout);
    assert_eq!(answer.expect_status(200).json(), "ada");
    assert!(answer.set_cookies().is_empty());
    browser.get("/api/session").await.expect_status(401);
    let census = host.stores.sessions.census().await.unwrap();
    assert_eq!(
        (census.sessions, census.totals.started),
        ([0; 4], [1, 0, 0, 0])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_is_a_logout_and_renewing_without_a_login_too() {
    let host = host().await;
    for path in ["/leave", "/renew"] {
        let browser = host.ada().await;
        let cookie = browser.cookie().unwrap();
        post(&browser, path).await.expect_status(204);
        let thief = host.browser();
        thief.set_cookie("skriptoteket", &cookie);
        thief.get("/api/session").await.expect_status(401);
    }
    let ended = host.stores.sessions.census().await.unwrap().totals.ended;
    assert_eq!(ended[0], [2, 0, 0, 0, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_a_talkative_error_are_answered_with_nothing_but_500() {
    let host = host().await;
    let browser = host.browser();
    for path in ["/panic", "/leak"] {
        let answer = browser.get(path).await;
        answer.expect_problem(500, "about:blank");
        assert!(!answer.text.contains("s3cret"), "{}", answer.text);
        let labels = [
            ("http.request.method", "GET"),
            ("http.response.status_code", "500"),
            ("http.route", path),
            ("url.scheme", "http"),
        ];
        let name = "http.server.request.duration";
        assert_eq!(
            host.metrics.histogram_count(name, &labels),
            Some(1),
            "{path}"
        );
    }
    browser.get("/api/session").await.expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_page_of_its_own_stays_what_it_is() {
    let host = host().await;
    let url = host.browser().request("GET", "/teapot").build().unwrap();
    let answer = plain().execute(url).await.unwrap();
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(answer.text().await.unwrap(), "<p>short and stout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_cookie_is_not_shortened_by_a_change_of_state() {
    let host = host().await;
    let browser = host.browser();
    let body = json!({
        "username": "ada", "password": PASSWORD, "remember_me": true,
    });
    let answer = browser.post("/api/login", &body).await;
    assert!(answer.set_cookies()[0].contains("Max-Age=2592000"));
    assert!(post(&browser, "/visits").await.set_cookies().is_empty());
    host.clock.advance(Duration::from_hours(24 * 29));
    assert_eq!(post(&browser, "/visits").await.json(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_in_flight_until_then_and_leaves_no_duration() {
    let host = host().await;
    let browser = host.ada().await;
    let in_flight = || {
        let labels = [("http.request.method", "POST"), ("url.scheme", "http")];
        host.metrics.gauge("http.server.active_requests", &labels)
    };
    tokio::select! {
        _ = post(&browser, "/slow") => panic!("the request did not wait"),
        () = host.slow.reached() => {}
    }
    drop(browser);
    let mut waited = 0;
    while in_flight() != Some(0.0) && waited < 3_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        waited += 1;
    }
    assert_eq!(in_flight(), Some(0.0));
    let labels = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("http.route", "/slow"),
        ("url.scheme", "http"),
    ];
    let name = "http.server.request.duration";
    assert_eq!(host.metrics.histogram_count(name, &labels), None);
}
