//! The session cookie among other cookies: cookies of applications on the same host, and several of our own name.

use reqwest::header::{COOKIE, HeaderValue};
use skriptoteket::accounts::Role;
use skriptoteket_testing::http::plain;

use crate::api::support::{Answer, App, Browser, PASSWORD, spawn_app, spawn_app_with};

/// Sends a request with this `Cookie` header.
async fn with_cookies(app: &App, method: &str, path: &str, cookies: &[u8]) -> Answer {
    let browser = app.browser();
    let header = HeaderValue::from_bytes(cookies).unwrap();
    let request = browser.request(method, path).header(COOKIE, header);
    browser.send(request).await
}

fn cookie(browser: &Browser) -> String {
    format!("skriptoteket={}", browser.cookie().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn octets_in_a_cookie_of_another_application_log_nobody_out() {
    let app = spawn_app().await;
    let ours = cookie(&app.someone("ada", Role::User).await);
    for other in [
        &b"lang=fran\xe7ais"[..],
        b"\xff\xfe",
        b"\xe9=1",
        b"a=\x80; b",
    ] {
        for header in [
            [other, b"; ", ours.as_bytes()].concat(),
            [ours.as_bytes(), b"; ", other].concat(),
        ] {
            let answer = with_cookies(&app, "GET", "/api/session", &header).await;
            answer.expect_status(200);
        }
    }
    // With such a header, too, a login ends the previous session, and a logout with status 204 has ended the session.
    let latin = [b"lang=fran\xe7ais; ", ours.as_bytes()].concat();
    let answer = with_cookies(&app, "POST", "/api/logout", &latin).await;
    assert!(answer.expect_status(204).set_cookies()[0].contains("Max-Age=0"));
    let answer = with_cookies(&app, "GET", "/api/session", ours.as_bytes()).await;
    answer.expect_status(401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cookie_headers_are_read_as_one() {
    let app = spawn_app().await;
    let ours = cookie(&app.someone("ada", Role::User).await);
    let browser = app.browser();
    let request = browser
        .request("GET", "/api/session")
        .header(COOKIE, HeaderValue::from_bytes(b"lang=\xe7").unwrap())
        .header(COOKIE, ours);
    browser.send(request).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_cookies_of_our_name_the_live_one_counts() {
    let app = spawn_app().await;
    let live = cookie(&app.someone("ada", Role::User).await);
    let browser = app.logged_in("ada").await;
    let over = cookie(&browser);
    let logout = browser.request("POST", "/api/logout");
    browser.send(logout).await.expect_status(204);
    let made_up = "skriptoteket=made-up";
    for cookies in [
        format!("{made_up}; {live}"),
        format!("{live}; {made_up}"),
        format!("{over}; {live}"),
        format!("{over}; {made_up}; a=b; {live}"),
        format!("skriptoteket=; {live}"),
        format!("{}; {live}", vec![made_up; 500].join("; ")),
    ] {
        let answer = with_cookies(&app, "GET", "/api/session", cookies.as_bytes()).await;
        answer.expect_status(200);
        assert!(answer.set_cookies().is_empty());
    }
    for cookies in [format!("{over}; {made_up}"), format!("{made_up}; {over}")] {
        let answer = with_cookies(&app, "GET", "/api/session", cookies.as_bytes()).await;
        answer.expect_status(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_every_session_that_is_presented() {
    let app = spawn_app().await;
    for stale_first in [true, false] {
        let name = if stale_first { "ada" } else { "bo" };
        let one = cookie(&app.someone(name, Role::User).await);
        let two = cookie(&app.logged_in(name).await);
        let made_up = "skriptoteket=made-up";
        let cookies = if stale_first {
            format!("{made_up}; {one}; {two}")
        } else {
            format!("{two}; {one}; {made_up}")
        };
        let answer = with_cookies(&app, "POST", "/api/logout", cookies.as_bytes()).await;
        assert!(answer.expect_status(204).set_cookies()[0].contains("Max-Age=0"));
        for ended in [one, two] {
            let answer = with_cookies(&app, "GET", "/api/session", ended.as_bytes()).await;
            answer.expect_status(401);
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_no_more_sessions_than_a_request_may_ask_about() {
    let app = spawn_app().await;
    let mut cookies = Vec::new();
    for name in ["ada", "bo", "cy"] {
        cookies.push(cookie(&app.someone(name, Role::User).await));
        for _ in 0..3 {
            cookies.push(cookie(&app.logged_in(name).await));
        }
    }
    let all = cookies.join("; ");
    let answer = with_cookies(&app, "POST", "/api/logout", all.as_bytes()).await;
    answer.expect_status(204);
    // The live session and eight others.
    for (at, presented) in cookies.iter().enumerate() {
        let answer = with_cookies(&app, "GET", "/api/session", presented.as_bytes()).await;
        answer.expect_status(if at < 9 { 401 } else { 200 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_ends_a_planted_session_that_stands_before_its_own() {
    let app = spawn_app().await;
    let planted = cookie(&app.someone("mallory", Role::User).await);
    let before = cookie(&app.someone("ada", Role::User).await);
    let browser = app.browser();
    let body = serde_json::json!({"username": "ada", "password": PASSWORD});
    let request = browser.request("POST", "/api/login").json(&body);
    let request = request.header(COOKIE, format!("{planted}; {before}"));
    browser.send(request).await.expect_status(200);
    for ended in [planted, before] {
        let answer = with_cookies(&app, "GET", "/api/session", ended.as_bytes()).await;
        answer.expect_status(401);
    }
    let answer = with_cookies(&app, "GET", "/api/session", cookie(&browser).as_bytes()).await;
    assert_eq!(answer.expect_status(200).json()["user"]["username"], "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prefix_of_the_cookie_cannot_be_had_by_another_spelling() {
    let app = spawn_app_with(|config| {
        config.public_url = "https://login.example".parse().unwrap();
    })
    .await;
    let value = app.someone("mallory", Role::User).await.cookie().unwrap();
    let answer = |name: &'static str| {
        let header = format!("{name}={value}");
        let app = &app;
        async move { with_cookies(app, "GET", "/api/session", header.as_bytes()).await }
    };
    answer("__Host-skriptoteket").await.expect_status(200);
    for name in [
        "__%48ost-skriptoteket",
        "\u{2000}__Host-skriptoteket",
        "skriptoteket",
    ] {
        answer(name).await.expect_status(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_follow_the_scheme_and_a_logout_clears_what_the_browser_keeps() {
    let secure = spawn_app_with(|config| {
        config.public_url = "https://login.example".parse().unwrap();
    })
    .await;
    let plain = spawn_app().await;
    for (app, https) in [(&secure, true), (&plain, false)] {
        let browser = app.someone("ada", Role::User).await;
        for path in ["/api/session", "/api/openapi.json", "/nowhere"] {
            let answer = browser.get(path).await;
            let transport = https.then_some("max-age=31536000");
            assert_eq!(
                answer.header("strict-transport-security"),
                transport,
                "{path}"
            );
            assert_eq!(
                answer.header("cross-origin-resource-policy"),
                Some("same-origin")
            );
            assert_eq!(answer.header("clear-site-data"), None);
        }
        let cleared = https.then_some(r#""cache", "storage""#);
        let answer = browser.send(browser.request("POST", "/api/logout")).await;
        assert_eq!(answer.expect_status(204).header("clear-site-data"), cleared);
        let browser = app.logged_in("ada").await;
        let answer = browser.delete("/api/sessions").await;
        assert_eq!(answer.expect_status(204).header("clear-site-data"), cleared);
        let cross_site = browser
            .request("POST", "/api/logout")
            .header("sec-fetch-site", "cross-site");
        let refused = browser.send(cross_site).await;
        assert_eq!(refused.expect_status(403).header("clear-site-data"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_what_get_is_without_the_body() {
    let app = spawn_app().await;
    let browser = app.someone("ada", Role::Superuser).await;
    let ours = cookie(&browser);
    let documented = browser.get("/api/openapi.json").await.json();
    let paths = documented["paths"].as_object().unwrap();
    let readable = paths.iter().filter(|(_, item)| item.get("get").is_some());
    let readable: Vec<&str> = readable.map(|(path, _)| path.as_str()).collect();
    assert!(readable.len() >= 8, "{readable:?}");
    for path in readable {
        let path = path.replace("{id}", "nobody");
        for cookies in [ours.as_str(), "a=b"] {
            let ask = async |method: reqwest::Method| {
                let request = plain().request(method, format!("{}{path}", app.public));
                request.header(COOKIE, cookies).send().await.unwrap()
            };
            let (get, head) = (
                ask(reqwest::Method::GET).await,
                ask(reqwest::Method::HEAD).await,
            );
            assert_eq!(get.status(), head.status(), "{path}");
            let headers = |answer: &reqwest::Response| {
                let mut headers = answer.headers().clone();
                headers.remove("date");
                headers
            };
            assert_eq!(headers(&get), headers(&head), "{path}");
            assert!(get.headers().contains_key("content-length"), "{path}");
            assert!(!get.bytes().await.unwrap().is_empty(), "{path}");
            assert!(head.bytes().await.unwrap().is_empty(), "{path}");
        }
    }
    let labels = [
        ("http.request.method", "HEAD"),
        ("http.route", "/api/session"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
    ];
    let counted = app
        .metrics
        .histogram_count("http.server.request.duration", &labels);
    assert_eq!(counted, Some(1));
}
