//! `/api/sessions`: the user's own sessions on all devices.

use std::time::Duration;

use serde_json::Value;
use skriptoteket::accounts::Role;

use crate::api::support::{Browser, PASSWORD, spawn_app};

async fn list(browser: &Browser) -> Vec<Value> {
    let answer = browser.get("/api/sessions").await;
    let body = answer.expect_status(200).json();
    assert_eq!(body.as_object().unwrap().len(), 1);
    body["sessions"].as_array().unwrap().clone()
}

async fn own_id(browser: &Browser) -> String {
    let answer = browser.get("/api/session").await.json();
    answer["session"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sees_ones_own_sessions_the_newest_first() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let first = app.browser();
    let body = serde_json::json!({"username": "ada", "password": PASSWORD});
    let login = first.request("POST", "/api/login").json(&body);
    let login = login.header("user-agent", format!("Länge/{}", "x".repeat(300)));
    first.send(login).await.expect_status(200);
    app.clock.advance(Duration::from_secs(5));
    let second = app.logged_in("ada").await;
    app.someone("eve", Role::User).await;

    let sessions = list(&second).await;
    let [newest, oldest] = &sessions[..] else {
        panic!("{sessions:?}")
    };
    assert_eq!(newest["id"], own_id(&second).await);
    assert_eq!(oldest["id"], own_id(&first).await);
    assert_eq!(
        (&newest["current"], &oldest["current"]),
        (&true.into(), &false.into())
    );
    assert_eq!(newest["user_agent"], "");
    let agent = oldest["user_agent"].as_str().unwrap();
    assert!(
        agent.starts_with("Länge/xxx") && agent.chars().count() == 256,
        "{agent}"
    );
    assert_eq!(oldest["created_at"], "2026-01-01T12:00:00Z");
    assert_eq!(oldest["last_seen_at"], "2026-01-01T12:00:00Z");
    assert_eq!(oldest["expires_at"], "2026-01-01T12:30:00Z");
    assert_eq!(oldest["network"], "127.0.0.0/24");
    assert_eq!(oldest.as_object().unwrap().len(), 7);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_can_be_ended_from_another() {
    let app = spawn_app().await;
    let here = app.someone("ada", Role::User).await;
    let there = app.logged_in("ada").await;
    let path = format!("/api/sessions/{}", own_id(&there).await);
    let answer = here.delete(&path).await;
    assert!(answer.expect_status(204).set_cookies().is_empty());
    there.get("/api/session").await.expect_status(401);
    here.get("/api/session").await.expect_status(200);
    here.delete(&path).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_the_session_that_asks_takes_its_cookie_away() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    let path = format!("/api/sessions/{}", own_id(&browser).await);
    browser.delete(&path).await.expect_status(204);
    assert_eq!(browser.cookie(), None);
    let ended = app.stores.sessions.census().await.unwrap().totals.ended;
    assert_eq!(ended[0], [0, 0, 0, 1, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_session_is_not_found() {
    let app = spawn_app().await;
    let ada = app.someone("ada", Role::Superuser).await;
    let eve = app.someone("eve", Role::User).await;
    let path = format!("/api/sessions/{}", own_id(&ada).await);
    eve.delete(&path).await.expect_problem(404, "about:blank");
    ada.get("/api/session").await.expect_status(200);
    for bad in [
        "x",
        "..",
        "%2e%2e",
        "%00",
        "%ff",
        "00AAAAAAAAAAAAAAAAAAAAAAAA",
        "null",
    ] {
        let answer = eve.delete(&format!("/api/sessions/{bad}")).await;
        assert!(
            matches!(answer.status.as_u16(), 404 | 405),
            "{bad}: {}",
            answer.status
        );
    }
    eve.get("/api/session").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_others_can_be_ended_and_all() {
    let app = spawn_app().await;
    let here = app.someone("ada", Role::User).await;
    let there = app.logged_in("ada").await;
    let eve = app.someone("eve", Role::User).await;
    let answer = here.delete("/api/sessions?keep=current").await;
    assert!(answer.expect_status(204).set_cookies().is_empty());
    there.get("/api/session").await.expect_status(401);
    assert_eq!(list(&here).await.len(), 1);

    let there = app.logged_in("ada").await;
    here.delete("/api/sessions").await.expect_status(204);
    assert_eq!(here.cookie(), None);
    there.get("/api/session").await.expect_status(401);
    eve.get("/api/session").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_parameter_ends_nothing() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    for query in [
        "keep=all",
        "kep=current",
        "keep=current&keep=current",
        "keep=Current",
    ] {
        let answer = browser.delete(&format!("/api/sessions?{query}")).await;
        answer.expect_problem(400, "/problems/invalid-parameter");
    }
    assert_eq!(list(&browser).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_session_gives_way_to_one_too_many() {
    let app = spawn_app().await;
    let oldest = app.someone("ada", Role::User).await;
    for _ in 0..10 {
        app.clock.advance(Duration::from_secs(1));
        app.logged_in("ada").await;
    }
    oldest.get("/api/session").await.expect_status(401);
    assert_eq!(list(&app.logged_in("ada").await).await.len(), 10);
}
