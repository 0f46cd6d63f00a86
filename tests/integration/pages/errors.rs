//! Errors: pages for browsers, problem documents for clients of the API.

use reqwest::{Method, header::ACCEPT};
use skriptoteket::accounts::Role;
use skriptoteket_testing::http::plain;

use crate::{
    api::support::{spawn_app, spawn_app_with},
    pages::support::Browser,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_page_where_a_client_gets_a_problem_document() {
    let app = spawn_app().await;
    let browser = Browser::of(&app);
    browser
        .get("/none")
        .await
        .expect(404, "The page does not exist");
    let wrong_method = browser
        .send(browser.request(Method::DELETE, "/login"))
        .await;
    wrong_method.expect(405, "The request is invalid");
    assert_eq!(wrong_method.header("allow"), Some("GET, HEAD, POST"));
    // Errors of the API are problem documents for browsers, too.
    for (path, accept, media) in [
        ("/api/session", "text/html", "application/problem+json"),
        ("/api/none", "text/html", "application/problem+json"),
        ("/oauth2/none", "text/html", "application/problem+json"),
        ("/.well-known/none", "text/html", "application/problem+json"),
        ("/none", "*/*", "application/problem+json"),
        (
            "/none",
            "application/json, text/html;q=0.9",
            "application/problem+json",
        ),
        ("/none", "application/json", "application/problem+json"),
        ("/account", "*/*", "application/problem+json"),
        ("/account", "text/HTML", ""),
    ] {
        let url = format!("{}{path}", app.public);
        let client = skriptoteket_testing::http::builder();
        let client = client
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let answer = client.get(url).header(ACCEPT, accept).send().await.unwrap();
        let found = answer.headers().get("content-type");
        let found = found.map_or("", |it| it.to_str().unwrap());
        assert_eq!(found, media, "{path} {accept}");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert_eq!(policy.contains("style-src"), media.is_empty());
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_pages_are_kept_for_ever_and_others_do_not_exist() {
    let logo = tempfile::tempdir().unwrap();
    let logo_file = logo.path().join("logo.svg");
    std::fs::write(&logo_file, "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
    let app = spawn_app_with(|config| config.pages.logo_file = Some(logo_file)).await;
    let page = Browser::of(&app).get("/login").await;
    let files: Vec<&str> = page
        .text
        .split('"')
        .filter(|it| it.starts_with("/assets/"))
        .collect();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        let answer = plain()
            .get(format!("{}{file}", app.public))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.headers()["cache-control"],
            "public, max-age=31536000, immutable"
        );
        assert_eq!(
            answer.headers()["content-security-policy"],
            "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
        );
        let other = format!("{}{}x", app.public, file);
        assert_eq!(plain().get(other).send().await.unwrap().status(), 404);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_respond_is_a_page_and_the_cookie_is_kept() {
    let redis = skriptoteket_testing::redis::RedisServer::start(&[]);
    let url = redis.url();
    let app = spawn_app_with(|config| {
        let environment =
            skriptoteket::config::Environment::default().with("SKRIPTOTEKET_REDIS_URL", &url);
        config.redis = skriptoteket::config::load(None, &environment)
            .unwrap()
            .redis;
        config.store_timeout = std::time::Duration::from_millis(200);
    })
    .await;
    app.add_user("ada", Role::User).await;
    let browser = Browser::logged_in(&app, "ada").await;
    drop(redis);
    for path in ["/account", "/account/password", "/", "/continue"] {
        let page = browser.get(path).await;
        page.expect(503, "The service is not available at the moment");
        assert!(page.header("retry-after").is_some());
        assert!(page.header("set-cookie").is_none() && browser.has_cookie());
    }
    let page = browser.submit("/logout", &[("csrf_token", "x")]).await;
    page.expect_status(503);
    // The form is shown without knowing whether the user is logged in.
    browser.get("/login").await.expect_status(200);
    app.stop().await;
}
