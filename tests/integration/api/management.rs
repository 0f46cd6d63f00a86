//! The management listener.

use secrecy::SecretString;
use skriptoteket_testing::http::plain;

use crate::api::support::{App, spawn_app, spawn_app_with};

async fn get(app: &App, path: &str, token: Option<&str>) -> reqwest::Response {
    let mut request = plain().get(format!("{}{path}", app.management));
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lives_it_is_ready_and_it_shows_its_metrics() {
    let app = spawn_app().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(&app, path, None).await.status(), 200, "{path}");
    }
    let head = plain().head(format!("{}/livez", app.management));
    assert_eq!(head.send().await.unwrap().status(), 200);
    let post = plain().post(format!("{}/livez", app.management));
    let refused = post.send().await.unwrap();
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.headers()["allow"], "GET, HEAD");
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    let page = get(&app, "/metrics", None).await;
    assert_eq!(page.status(), 200);
    let media = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(page.headers()["content-type"], media);
    let text = page.text().await.unwrap();
    assert!(
        text.contains("\nskriptoteket_active_sessions 0\n"),
        "{text}"
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_ask_for_the_token_where_there_is_one() {
    let app = spawn_app_with(|config| {
        config.metrics_token = Some(SecretString::from("s3cret"));
    })
    .await;
    for wrong in [
        None,
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer s3cre"),
        Some("Bearer s3crett"),
        Some("Basic s3cret"),
        Some("s3cret"),
        Some("Bearer \u{e9}"),
    ] {
        let answer = get(&app, "/metrics", wrong).await;
        assert_eq!(answer.status(), 401, "{wrong:?}");
        assert_eq!(
            answer.headers()["www-authenticate"],
            r#"Bearer realm="metrics""#
        );
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    for right in ["Bearer s3cret", "bearer s3cret"] {
        assert_eq!(get(&app, "/metrics", Some(right)).await.status(), 200);
    }
    for open in ["/livez", "/readyz"] {
        assert_eq!(get(&app, open, None).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listeners_share_nothing() {
    let app = spawn_app().await;
    let browser = app.browser();
    for path in ["/metrics", "/livez", "/readyz", "/api/metrics"] {
        browser.get(path).await.expect_status(404);
    }
    for path in ["/api/session", "/api/openapi.json", "/", "/metrics/"] {
        assert_eq!(get(&app, path, None).await.status(), 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_cannot_read_it_by_a_name_that_it_makes_ours() {
    let app = spawn_app().await;
    for (host, status) in [
        ("evil.example", 421),
        ("evil.example:9464", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost:9464", 200),
        ("[::1]:9464", 200),
    ] {
        for path in ["/metrics", "/livez", "/readyz"] {
            let request = plain().get(format!("{}{path}", app.management));
            let answer = request.header("host", host).send().await.unwrap();
            assert_eq!(answer.status(), status, "{host} {path}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("cache-control", "no-store"),
                (
                    "content-security-policy",
                    "default-src 'none'; frame-ancestors 'none'",
                ),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.headers()[name], value, "{host} {path}");
            }
        }
    }
}
