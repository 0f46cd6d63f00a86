//! `GET /api/session`, `POST /api/logout`, and the validity of cookies.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use skriptoteket::{
    accounts::{AccountChange, Role},
    clock::Clock,
};

use crate::api::support::{spawn_app, spawn_app_with};

#[tokio::test(flavor = "multi_thread")]
async fn the_session_is_what_the_login_said() {
    let app = spawn_app().await;
    app.add_user("ada", Role::Admin).await;
    let browser = app.browser();
    let login = browser.log_in("ada").await.json();
    let answer = browser.get("/api/session").await;
    assert_eq!(answer.expect_status(200).json(), login);
    assert!(answer.set_cookies().is_empty());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_session_gets_401_and_no_cookie() {
    let app = spawn_app().await;
    let answer = app.browser().get("/api/session").await;
    answer.expect_problem(401, "/problems/no-session");
    assert!(answer.set_cookies().is_empty());
    assert!(answer.header("www-authenticate").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_is_not_exactly_ours_is_no_session() {
    let app = spawn_app().await;
    let other = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    let id = browser.get("/api/session").await.json()["session"]["id"].clone();
    let good = browser.cookie().unwrap();
    let foreign = other.someone("ada", Role::User).await.cookie().unwrap();
    let mut bent = good.clone().into_bytes();
    bent[20] = if bent[20] == b'A' { b'B' } else { b'A' };
    let bent = String::from_utf8(bent).unwrap();
    let (cut, long) = (&good[..good.len() / 2], good.repeat(40));
    for bad in [
        cut,
        &long,
        &bent,
        &foreign,
        id.as_str().unwrap(),
        "",
        "%ff%00",
        "\"quoted\"",
        "a=b",
    ] {
        let browser = app.browser();
        browser.set_cookie("skriptoteket", bad);
        let answer = browser.get("/api/session").await;
        answer.expect_problem(401, "/problems/no-session");
        assert!(answer.set_cookies().is_empty());
    }
    browser.get("/api/session").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_session_ends_and_a_used_one_goes_on_to_its_greatest_age() {
    let app = spawn_app_with(|config| {
        config.session_idle_timeout = Duration::from_mins(30);
        config.session_absolute_timeout = Duration::from_hours(2);
    })
    .await;
    let browser = app.someone("ada", Role::User).await;
    for _ in 0..4 {
        app.clock.advance(Duration::from_mins(29));
        browser.get("/api/session").await.expect_status(200);
    }
    app.clock.advance(Duration::from_mins(4));
    browser.get("/api/session").await.expect_status(401);

    let idle = app.logged_in("ada").await;
    app.clock.advance(Duration::from_mins(30));
    idle.get("/api/session").await.expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_role_or_a_disabled_account_is_seen_at_the_next_request() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let browser = app.someone("ada", Role::User).await;
    let id = browser.get("/api/session").await.json()["user"]["id"].clone();
    let path = format!("/api/admin/users/{}", id.as_str().unwrap());
    boss.patch(&path, &json!({"role": "admin"}))
        .await
        .expect_status(200);
    let session = browser.get("/api/session").await;
    assert_eq!(session.expect_status(200).json()["user"]["role"], "admin");
    browser.get("/api/admin/sessions").await.expect_status(200);
    boss.patch(&path, &json!({"disabled": true}))
        .await
        .expect_status(200);
    browser.get("/api/session").await.expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_from_outside_reaches_the_session() {
    let app = spawn_app().await;
    let ada = app.add_user("ada", Role::User).await;
    let browser = app.logged_in("ada").await;
    let disabled = AccountChange {
        disabled: Some(true),
        ..AccountChange::default()
    };
    app.stores.accounts.change(ada.id, disabled).await.unwrap();
    // The service checks for such changes twice a second, or less often on a busy machine.
    let mut status = StatusCode::OK;
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Cached sessions age by the clock of the service.
        app.clock.advance(Duration::from_secs(1));
        status = browser.get("/api/session").await.status;
        if status != StatusCode::OK {
            break;
        }
    }
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_session_takes_the_cookie_away_and_can_be_repeated() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    let cookie = browser.cookie().unwrap();
    let answer = browser.send(browser.request("POST", "/api/logout")).await;
    answer.expect_status(204);
    let removal = answer.set_cookies()[0];
    assert!(removal.starts_with("skriptoteket=;"), "{removal}");
    assert!(
        removal.contains("Max-Age=0") && removal.contains("Path=/"),
        "{removal}"
    );
    assert_eq!(browser.cookie(), None);
    assert_eq!(
        app.stores.sessions.census().await.unwrap().totals.ended[0][0],
        1
    );

    // Without a cookie there is none to remove; a cookie of an ended session is removed.
    let again = browser.send(browser.request("POST", "/api/logout")).await;
    assert!(again.expect_status(204).set_cookies().is_empty());
    for dead in [&cookie, "junk"] {
        browser.set_cookie("skriptoteket", dead);
        browser.get("/api/session").await.expect_status(401);
        let answer = browser.send(browser.request("POST", "/api/logout")).await;
        assert_eq!(answer.expect_status(204).set_cookies().len(), 1);
        assert_eq!(browser.cookie(), None);
    }
    let ended = app.stores.sessions.census().await.unwrap().totals.ended;
    assert_eq!(ended.iter().flatten().sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_cannot_log_anyone_out() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    let request = browser.request("POST", "/api/logout");
    let answer = browser
        .send(request.header("sec-fetch-site", "cross-site"))
        .await;
    answer.expect_problem(403, "/problems/cross-site");
    browser.get("/api/session").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn using_a_session_is_written_at_most_once_a_minute() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    let expires_at =
        async || browser.get("/api/session").await.json()["session"]["expires_at"].clone();
    let first = expires_at().await;
    app.clock.advance(Duration::from_secs(59));
    assert_eq!(expires_at().await, first);
    app.clock.advance(Duration::from_secs(1));
    let moved = app.clock.now().plus(Duration::from_mins(30)).to_rfc3339();
    assert_eq!(expires_at().await, moved);
}
