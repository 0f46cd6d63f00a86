//! `POST /api/login`.

use std::time::Duration;

use serde_json::json;
use skriptoteket::accounts::{AccountChange, Role};
use skriptoteket_testing::http::plain;
use sqlx::{Connection, SqliteConnection};

use crate::api::support::{ORIGIN, PASSWORD, spawn_app, spawn_app_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_answers_who_and_how_long_and_sets_a_browser_cookie() {
    let app = spawn_app().await;
    let ada = app.add_user("Ada", Role::Contributor).await;
    let browser = app.browser();
    let answer = browser.log_in("ADA").await;
    let body = answer.expect_status(200).json();
    assert_eq!(
        body["user"],
        json!({"id": ada.id.to_string(), "username": "ada", "role": "contributor"})
    );
    let session = &body["session"];
    assert_eq!(session["created_at"], "2026-01-01T12:00:00Z");
    assert_eq!(session["expires_at"], "2026-01-01T12:30:00Z");
    assert_eq!(session.as_object().unwrap().len(), 3);
    assert_eq!(body.as_object().unwrap().len(), 2);
    let cookies = answer.set_cookies();
    let [cookie] = cookies[..] else {
        panic!("{cookies:?}")
    };
    assert!(cookie.starts_with("skriptoteket="), "{cookie}");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    for attribute in ["Secure", "Domain", "Max-Age", "Expires"] {
        assert!(!cookie.contains(attribute), "{cookie}");
    }
    let id = session["id"].as_str().unwrap();
    assert!(!cookie.contains(id), "the cookie contains the session ID");
    browser.get("/api/session").await.expect_status(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_the_cookie_is_secure_and_bound_to_the_host() {
    let app = spawn_app_with(|config| {
        config.public_url = "https://login.example".parse().unwrap();
    })
    .await;
    let browser = app.someone("ada", Role::User).await;
    let answer = browser.log_in("ada").await;
    let cookie = answer.set_cookies()[0];
    assert!(cookie.starts_with("__Host-skriptoteket="), "{cookie}");
    for attribute in ["; HttpOnly", "; Secure", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    browser.get("/api/session").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_session_outlives_the_browser_and_idleness() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = app.browser();
    let body = json!({"username": "ada", "password": PASSWORD, "remember_me": true});
    let answer = browser.post("/api/login", &body).await;
    let expires_at = &answer.expect_status(200).json()["session"]["expires_at"];
    assert_eq!(*expires_at, "2026-01-31T12:00:00Z");
    let cookie = answer.set_cookies()[0];
    assert!(cookie.contains("; Max-Age=2592000"), "{cookie}");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    app.clock.advance(Duration::from_hours(29 * 24));
    browser.get("/api/session").await.expect_status(200);
    app.clock.advance(Duration::from_hours(25));
    browser.get("/api/session").await.expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_wrong_and_disabled_get_the_same_answer() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let eve = app.add_user("eve", Role::User).await;
    let disabled = AccountChange {
        disabled: Some(true),
        ..AccountChange::default()
    };
    app.stores.accounts.change(eve.id, disabled).await.unwrap();
    let long = "a".repeat(10_000);
    let mut answers = Vec::new();
    for (name, password) in [
        ("nobody", PASSWORD),
        ("ada", "wrong"),
        ("eve", PASSWORD),
        ("eve", "wrong"),
        ("no such name!", PASSWORD),
        ("", ""),
        ("a\0b", "\0"),
        (&long, &long[..2000]),
    ] {
        let answer = app.browser().try_password(name, password).await;
        answer.expect_problem(401, "/problems/invalid-credentials");
        let mut headers = answer.headers.clone();
        headers.remove("date");
        answers.push((headers, answer.text));
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!(app.logins("failure"), 8);
    assert_eq!(app.failures("invalid_credentials"), 7);
    assert_eq!(app.failures("account_disabled"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_budget_is_429_whoever_it_belongs_to_and_a_lock_ends() {
    let app = spawn_app_with(|config| {
        config.guard.account_attempts = 3;
        config.guard.address_attempts = 1000;
    })
    .await;
    app.add_user("ada", Role::User).await;
    let browser = app.browser();
    let mut answers = Vec::new();
    for name in ["ada", "nobody"] {
        for _ in 0..3 {
            browser.try_password(name, "wrong").await.expect_status(401);
        }
        let answer = browser.try_password(name, PASSWORD).await;
        answer.expect_problem(429, "/problems/too-many-attempts");
        answers.push(answer);
    }
    let [known, unknown] = &answers[..] else {
        panic!()
    };
    assert_eq!(known.text, unknown.text);
    assert_eq!(known.retry_after(), unknown.retry_after());
    assert_eq!(app.failures("account_locked"), 2);
    app.clock.advance(Duration::from_secs(known.retry_after()));
    browser.log_in("ada").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_out_gets_the_answer_of_a_locked_account() {
    let app = spawn_app_with(|config| {
        config.guard.account_attempts = 2;
        config.guard.address_attempts = 3;
    })
    .await;
    let browser = app.browser();
    for _ in 0..2 {
        browser.try_password("a", "wrong").await.expect_status(401);
    }
    let locked = browser.try_password("a", "wrong").await;
    locked.expect_status(429);
    let limited = browser.try_password("b", "wrong").await;
    limited.expect_status(429);
    assert_eq!(locked.text, limited.text);
    assert_eq!(
        (app.failures("account_locked"), app.failures("rate_limited")),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_is_the_one_that_our_own_proxy_saw() {
    let app = spawn_app_with(|config| config.guard.address_attempts = 1).await;
    let browser = app.browser();
    let from = async |forwarded: &str| {
        let body = json!({"username": "nobody", "password": "wrong"});
        let request = browser.request("POST", "/api/login").json(&body);
        browser
            .send(request.header("x-forwarded-for", forwarded))
            .await
            .status
    };
    assert_eq!(from("203.0.113.9").await, 401);
    assert_eq!(from("203.0.113.9").await, 429);
    assert_eq!(from("198.51.100.4, 203.0.113.9").await, 429);
    assert_eq!(from("203.0.113.9, 198.51.100.4").await, 401);
    // The part that the client wrote need not be text.
    assert_eq!(from("\u{e9}, 203.0.113.9").await, 429);
    assert_eq!(from("\u{e9}, 203.0.113.10").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_from_another_site_is_refused_and_counted() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = app.browser();
    let sent = async |name: &'static str, value: &'static str| {
        let body = json!({"username": "ada", "password": PASSWORD});
        let request = browser.request("POST", "/api/login").json(&body);
        browser.send(request.header(name, value)).await
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let answer = sent(name, value).await;
        answer.expect_problem(403, "/problems/cross-site");
        assert!(answer.set_cookies().is_empty());
    }
    assert_eq!(app.failures("cross_site"), 4);
    sent("sec-fetch-site", "same-origin")
        .await
        .expect_status(200);
    sent("origin", ORIGIN).await.expect_status(200);
    assert_eq!((app.logins("success"), app.logins("failure")), (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_login_request_is_no_attempt() {
    let app = spawn_app().await;
    let browser = app.browser();
    for body in [
        json!({}),
        json!({"username": "ada"}),
        json!({"username": 5, "password": "x"}),
        json!({"username": "ada", "password": ["x"]}),
        json!({"username": "ada", "password": "x", "remember_me": "yes"}),
    ] {
        let answer = browser.post("/api/login", &body).await;
        answer.expect_problem(400, "/problems/malformed-body");
    }
    let with_more = json!({"username": "ada", "password": "x", "more": 1});
    browser
        .post("/api/login", &with_more)
        .await
        .expect_status(401);
    assert_eq!((app.logins("success"), app.logins("failure")), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_login_ends_the_session_before_and_its_cookie_is_dead() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    let old = browser.cookie().unwrap();
    browser.log_in("ada").await.expect_status(200);
    assert_ne!(browser.cookie().unwrap(), old);
    let thief = app.browser();
    thief.set_cookie("skriptoteket", &old);
    thief.get("/api/session").await.expect_status(401);
    let list = browser.get("/api/sessions").await.json();
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_login_leaves_the_session_before_alone() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::User).await;
    let answer = browser.try_password("ada", "wrong").await;
    assert!(answer.expect_status(401).set_cookies().is_empty());
    browser.get("/api/session").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_was_there_before_does_not_become_the_session() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = app.browser();
    browser.set_cookie("skriptoteket", "planted");
    browser.log_in("ada").await.expect_status(200);
    assert_ne!(browser.cookie().unwrap(), "planted");
    browser.get("/api/session").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_is_counted_as_cancelled() {
    let app = spawn_app().await;
    // A login writes to the store and waits for this transaction.
    let url = format!("sqlite://{}", app.database.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let hold = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let body = json!({"username": "nobody", "password": "wrong"});
    let login = plain()
        .post(format!("{}/api/login", app.public))
        .json(&body);
    app.leave_once_in_flight(login).await;
    hold.rollback().await.unwrap();
    for _ in 0..3_000 {
        if app.failures("cancelled") == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(app.failures("cancelled"), 1);
    assert_eq!((app.logins("success"), app.logins("failure")), (0, 1));
}
