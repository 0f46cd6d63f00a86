//! `POST /api/password`.

use serde_json::json;
use skriptoteket::accounts::Role;

use crate::api::support::{PASSWORD, spawn_app, spawn_app_with};

/// The name of the cookie when the service is reached over HTTP.
const COOKIE: &str = "skriptoteket";
const NEW: &str = "seven purple teapots sing 19";

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_counts_and_ends_the_other_sessions() {
    let app = spawn_app().await;
    let here = app.someone("ada", Role::User).await;
    let there = app.logged_in("ada").await;
    let copy = app.browser();
    let before = here.cookie().unwrap();
    copy.set_cookie(COOKIE, &before);
    copy.get("/api/session").await.expect_status(200);
    let body = json!({"current": PASSWORD, "new": NEW});
    let answer = here.post("/api/password", &body).await;
    assert_eq!(answer.expect_status(204).set_cookies().len(), 1);
    assert_ne!(here.cookie().unwrap(), before);
    here.get("/api/session").await.expect_status(200);
    copy.get("/api/session").await.expect_status(401);
    there.get("/api/session").await.expect_status(401);
    app.browser().log_in("ada").await.expect_status(401);
    app.browser()
        .try_password("ada", NEW)
        .await
        .expect_status(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_session_has_a_cookie_that_stays_after_the_change() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    let remembered = json!({"username": "ada", "password": PASSWORD, "remember_me": true});
    let answer = browser.post("/api/login", &remembered).await;
    assert!(answer.set_cookies()[0].contains("Max-Age=2592000"));
    let body = json!({"current": PASSWORD, "new": NEW});
    let answer = browser.post("/api/password", &body).await;
    assert!(answer.set_cookies()[0].contains("Max-Age=2592000"));
    let body = json!({"username": "ada", "password": NEW});
    browser.post("/api/login", &body).await.expect_status(200);
    let body = json!({"current": NEW, "new": PASSWORD});
    let answer = browser.post("/api/password", &body).await;
    assert!(!answer.set_cookies()[0].contains("Max-Age"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_in_may_change_the_password_of_a_locked_account() {
    let app = spawn_app_with(|config| config.guard.account_attempts = 2).await;
    let here = app.someone("ada", Role::User).await;
    let stranger = app.browser();
    for _ in 0..2 {
        let guess = stranger.try_password("ada", "wrong").await;
        guess.expect_status(401);
    }
    let locked = stranger.log_in("ada").await;
    locked.expect_problem(429, "/problems/too-many-attempts");
    let body = json!({"current": PASSWORD, "new": NEW});
    here.post("/api/password", &body).await.expect_status(204);
    let login = app.browser().try_password("ada", NEW).await;
    login.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_current_password_is_403_and_changes_nothing() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    let body = json!({"current": "wrong", "new": NEW});
    let answer = browser.post("/api/password", &body).await;
    answer.expect_problem(403, "/problems/wrong-password");
    app.browser().log_in("ada").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_new_password_is_422_and_the_detail_says_why() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    for (new, why) in [
        ("tiny", "at least 8"),
        (&*"x".repeat(129), "at most 128"),
        ("password1", "too easy"),
        (&*"12".repeat(64), "too easy"),
    ] {
        let body = json!({"current": PASSWORD, "new": new});
        let answer = browser.post("/api/password", &body).await;
        answer.expect_problem(422, "/problems/weak-password");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(why) && !detail.contains(new), "{detail}");
    }
    app.browser().log_in("ada").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_session_is_no_place_to_guess() {
    let app = spawn_app_with(|config| config.guard.account_attempts = 3).await;
    let browser = app.someone("ada", Role::User).await;
    let guess = json!({"current": "wrong", "new": NEW});
    for _ in 0..3 {
        browser
            .post("/api/password", &guess)
            .await
            .expect_status(403);
    }
    let right = json!({"current": PASSWORD, "new": NEW});
    let answer = browser.post("/api/password", &right).await;
    answer.expect_problem(429, "/problems/too-many-attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_in_person_may_change_it() {
    let app = spawn_app().await;
    let body = json!({"current": PASSWORD, "new": NEW});
    app.browser()
        .post("/api/password", &body)
        .await
        .expect_status(401);
    let browser = app.someone("ada", Role::User).await;
    let request = browser.request("POST", "/api/password").json(&body);
    let answer = browser
        .send(request.header("origin", "https://evil.example"))
        .await;
    answer.expect_problem(403, "/problems/cross-site");
    let with_more = json!({"current": PASSWORD, "new": NEW, "more": 1});
    browser
        .post("/api/password", &with_more)
        .await
        .expect_status(400);
    app.browser().log_in("ada").await.expect_status(200);
}
