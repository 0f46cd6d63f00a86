//! A promotion renews the session key, so a copy of the old cookie becomes worthless.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use skriptoteket::{accounts::Role, sessions::Census};
use skriptoteket_testing::stores::raw;
use sqlx::Connection;

use crate::api::support::{App, Browser, PASSWORD, spawn_app, spawn_app_with};

const COOKIE: &str = "skriptoteket";

/// The browser of a superuser, who manages the other users.
struct Boss(Browser);

impl Boss {
    async fn of(app: &App) -> Self {
        Self(app.someone("boss", Role::Superuser).await)
    }

    /// Changes the role of `user`.
    async fn give(&self, user: &Value, role: &str) {
        let path = format!("/api/admin/users/{}", user["id"].as_str().unwrap());
        let answer = self.0.patch(&path, &json!({"role": role})).await;
        answer.expect_status(200);
    }
}

/// Returns the user who is logged in in this browser, and the session.
async fn who(browser: &Browser) -> (Value, Value) {
    let answer = browser.get("/api/session").await;
    let answer = answer.expect_status(200).json();
    (answer["user"].clone(), answer["session"]["id"].clone())
}

/// Returns another browser with a copy of this browser's current cookie.
fn copy(app: &App, browser: &Browser) -> Browser {
    let copy = app.browser();
    copy.set_cookie(COOKIE, &browser.cookie().unwrap());
    copy
}

async fn census(app: &App) -> Census {
    app.stores.sessions.census().await.unwrap()
}

/// Returns the attributes of a `Set-Cookie` header.
fn attributes(cookie: &str) -> Vec<&str> {
    let mut attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
    attributes.sort_unstable();
    attributes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_cookie_from_before_a_promotion_dies_with_the_first_use_after_it() {
    for url in ["http://127.0.0.1:8080", "https://login.example"] {
        let app = spawn_app_with(|config| config.public_url = url.parse().unwrap()).await;
        let boss = Boss::of(&app).await;
        app.add_user("ada", Role::User).await;
        let browser = app.browser();
        let login = browser.log_in("ada").await;
        let name = login.set_cookies()[0].split('=').next().unwrap().to_owned();
        let (ada, id) = who(&browser).await;
        let thief = app.browser();
        thief.set_cookie(&name, &browser.cookie().unwrap());
        thief.get("/api/session").await.expect_status(200);
        boss.give(&ada, "admin").await;

        let before = census(&app).await;
        let first = browser.get("/api/session").await;
        let shown = first.expect_status(200).json();
        assert_eq!(shown["user"]["role"], "admin");
        assert_ne!(shown["session"]["id"], id);
        let [cookie] = first.set_cookies()[..] else {
            panic!("{:?}", first.set_cookies());
        };
        assert!(cookie.starts_with(&format!("{name}=")));
        assert_eq!(attributes(cookie), attributes(login.set_cookies()[0]));
        assert!(!cookie.contains("Max-Age"));

        for path in ["/api/session", "/api/admin/sessions", "/api/sessions"] {
            let answer = thief.get(path).await;
            answer.expect_problem(401, "/problems/no-session");
            // A browser that has lost a race must keep its newer cookie.
            assert!(answer.set_cookies().is_empty());
        }
        let again = browser.get("/api/admin/sessions").await;
        assert!(again.expect_status(200).set_cookies().is_empty());
        let own = browser.get("/api/sessions").await.json();
        assert_eq!(own["sessions"].as_array().unwrap().len(), 1);
        assert_eq!(own["sessions"][0]["current"], true);
        assert_eq!(census(&app).await, before, "no end, no start");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rise_gives_a_new_key_and_a_fall_none() {
    let app = spawn_app().await;
    let boss = Boss::of(&app).await;
    let browser = app.someone("ada", Role::Contributor).await;
    let (ada, _) = who(&browser).await;
    for (role, is_renewed) in [
        ("admin", true),
        ("contributor", false),
        // The cookie was copied while it had fewer privileges.
        ("admin", true),
        ("superuser", true),
        ("user", false),
        ("contributor", true),
        ("contributor", false),
    ] {
        let thief = copy(&app, &browser);
        boss.give(&ada, role).await;
        let answer = browser.get("/api/session").await;
        assert_eq!(answer.expect_status(200).json()["user"]["role"], role);
        assert_eq!(
            answer.set_cookies().len(),
            usize::from(is_renewed),
            "{role}"
        );
        let expected = if is_renewed { 401 } else { 200 };
        thief.get("/api/session").await.expect_status(expected);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_of_a_remembered_session_lasts_as_long_as_is_left_of_it() {
    let app = spawn_app().await;
    let boss = Boss::of(&app).await;
    app.add_user("ada", Role::User).await;
    let browser = app.browser();
    let body = json!({"username": "ada", "password": PASSWORD, "remember_me": true});
    let login = browser.post("/api/login", &body).await;
    assert!(login.expect_status(200).set_cookies()[0].contains("Max-Age=2592000"));
    let (ada, _) = who(&browser).await;
    boss.give(&ada, "admin").await;
    app.clock.advance(Duration::from_hours(24 * 10));
    let answer = browser.get("/api/session").await;
    answer.expect_status(200);
    let left = 2_592_000 - 864_000;
    assert!(answer.set_cookies()[0].contains(&format!("Max-Age={left}")));
    app.clock.advance(Duration::from_hours(24 * 20 - 1));
    browser.get("/api/session").await.expect_status(200);
    app.clock.advance(Duration::from_hours(1));
    browser.get("/api/session").await.expect_status(401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_answer_that_is_an_error_carries_the_new_cookie_too() {
    let app = spawn_app().await;
    let boss = Boss::of(&app).await;
    let browser = app.someone("ada", Role::User).await;
    let (ada, id) = who(&browser).await;
    let id = id.as_str().unwrap().to_owned();
    let bad = json!({"nothing": 1});
    for (role, method, path, status) in [
        ("contributor", "GET", "/api/admin/sessions", 403),
        ("admin", "DELETE", &*format!("/api/sessions/{id}"), 404),
        ("superuser", "POST", "/api/admin/users", 400),
    ] {
        let thief = copy(&app, &browser);
        boss.give(&ada, role).await;
        let mut request = browser.request(method, path);
        if method == "POST" {
            request = request.json(&bad);
        }
        let answer = browser.send(request).await;
        answer.expect_status(status);
        assert_eq!(answer.set_cookies().len(), 1, "{path}");
        thief.get("/api/session").await.expect_status(401);
        let next = browser.get("/api/session").await;
        assert!(next.expect_status(200).set_cookies().is_empty());
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_or_replaces_the_session_in_its_first_request_does_so() {
    let app = spawn_app().await;
    let boss = Boss::of(&app).await;
    app.add_user("ada", Role::User).await;
    for (method, path) in [
        ("POST", "/api/logout"),
        ("DELETE", "/api/sessions"),
        ("POST", "/api/login"),
        ("POST", "/api/password"),
    ] {
        let browser = app.logged_in("ada").await;
        let (ada, _) = who(&browser).await;
        let thief = copy(&app, &browser);
        boss.give(&ada, "admin").await;
        let request = browser.request(method, path);
        let request = match path {
            "/api/login" => request.json(&json!({"username": "ada", "password": PASSWORD})),
            "/api/password" => request.json(&json!({"current": PASSWORD, "new": PASSWORD})),
            _ => request,
        };
        let answer = browser.send(request).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        assert_eq!(answer.set_cookies().len(), 1, "{path}");
        thief.get("/api/session").await.expect_status(401);
        let goes_on = matches!(path, "/api/login" | "/api/password");
        let removed = answer.set_cookies()[0].contains("Max-Age=0");
        assert_eq!(removed, !goes_on, "{path}");
        let expected = if goes_on { 200 } else { 401 };
        browser.get("/api/session").await.expect_status(expected);
        let own = app.stores.sessions.list_user(id_of(&ada)).await.unwrap();
        assert_eq!(own.len(), usize::from(goes_on), "{path}");
        browser.send(browser.request("POST", "/api/logout")).await;
        boss.give(&ada, "user").await;
    }
    // End all sessions except the current one, which is the renewed one.
    let (browser, other) = (app.logged_in("ada").await, app.logged_in("ada").await);
    let (ada, _) = who(&browser).await;
    boss.give(&ada, "superuser").await;
    let answer = browser.delete("/api/sessions?keep=current").await;
    assert_eq!(answer.expect_status(204).set_cookies().len(), 1);
    browser.get("/api/session").await.expect_status(200);
    other.get("/api/session").await.expect_status(401);
    app.stop().await;
}

fn id_of(user: &Value) -> skriptoteket::accounts::UserId {
    user["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_at_once_one_gets_the_new_key_and_none_takes_it_away() {
    let app = spawn_app().await;
    let boss = Boss::of(&app).await;
    let browser = app.someone("ada", Role::User).await;
    let (ada, _) = who(&browser).await;
    for role in ["contributor", "admin", "superuser"] {
        boss.give(&ada, role).await;
        let tabs: Vec<Browser> = (0..8).map(|_| copy(&app, &browser)).collect();
        let answers = join_all(tabs.iter().map(|tab| tab.get("/api/session"))).await;
        let (mut cookies, mut lost) = (Vec::new(), 0);
        for answer in &answers {
            match answer.status {
                StatusCode::OK => {
                    assert_eq!(answer.json()["user"]["role"], role);
                    cookies.extend(answer.set_cookies());
                }
                status => {
                    assert_eq!(status, StatusCode::UNAUTHORIZED);
                    assert!(answer.set_cookies().is_empty());
                    lost += 1;
                }
            }
        }
        assert_eq!((cookies.len(), lost), (1, 7), "{role}");
        let value = cookies[0]
            .split(';')
            .next()
            .unwrap()
            .split_once('=')
            .unwrap();
        browser.set_cookie(COOKIE, value.1);
        browser.get("/api/session").await.expect_status(200);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_new_key_the_new_role_is_not_used() {
    let app = spawn_app_with(|config| config.store_timeout = Duration::from_secs(2)).await;
    let boss = Boss::of(&app).await;
    let browser = app.someone("ada", Role::User).await;
    let (ada, _) = who(&browser).await;
    boss.give(&ada, "superuser").await;
    // The session is cached, although it could be read in any case.
    let mut other = raw(&app.database).await;
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for path in ["/api/session", "/api/admin/users"] {
        let answer = browser.get(path).await;
        answer.expect_problem(503, "about:blank");
        assert!(answer.set_cookies().is_empty());
    }
    held.rollback().await.unwrap();
    let answer = browser.get("/api/admin/users").await;
    assert_eq!(answer.expect_status(200).set_cookies().len(), 1);
    app.stop().await;
}
