//! Forms that no page of the service has sent.

use reqwest::Method;
use skriptoteket::accounts::Role;

use crate::{
    api::support::{PASSWORD, spawn_app, with_form},
    pages::support::Browser,
};

/// Forms of a user who is logged in.
const FORMS: [&str; 4] = [
    "/logout",
    "/account/sessions/end",
    "/account/sessions/end-others",
    "/account/password",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_form_needs_the_token_of_its_session() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let (browser, other) = (
        Browser::logged_in(&app, "ada").await,
        Browser::logged_in(&app, "ada").await,
    );
    let of_another_session = other.token().await;
    for form in FORMS {
        for token in [None, Some(""), Some("x"), Some(of_another_session.as_str())] {
            let fields: Vec<_> = token.map(|it| ("csrf_token", it)).into_iter().collect();
            let page = browser.submit(form, &fields).await;
            page.expect(403, "The form is outdated");
        }
        let token = browser.token().await;
        let twice = [
            ("csrf_token", token.as_str()),
            ("csrf_token", token.as_str()),
        ];
        browser.submit(form, &twice).await.expect_status(400);
    }
    assert_eq!((browser.session().await, other.session().await), (200, 200));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_from_another_site_is_refused_with_its_token_too() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = Browser::logged_in(&app, "ada").await;
    let token = browser.token().await;
    for (header, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
    ] {
        for form in FORMS {
            let request = browser.request(Method::POST, form).header(header, value);
            let page = browser
                .send(with_form(request, &[("csrf_token", &token)]))
                .await;
            page.expect(403, "The form is outdated");
        }
        // A login from another site is refused and counted.
        let request = browser
            .request(Method::POST, "/login")
            .header(header, value);
        let fields = [("username", "ada"), ("password", PASSWORD)];
        browser
            .send(with_form(request, &fields))
            .await
            .expect_status(403);
    }
    assert_eq!(app.failures("cross_site"), 2);
    assert_eq!(browser.session().await, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_kind_is_a_bad_request() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = Browser::logged_in(&app, "ada").await;
    let many = "a=1&".repeat(10_000);
    let large = format!("a={}", "x".repeat(70_000));
    for form in ["/login", "/logout", "/account/password"] {
        for (body, status) in [
            (many.as_str(), 400),
            (&large, 413),
            ("a=%ff", 400),
            (
                "username=a&username=b&current_password=x&current_password=y&csrf_token=a&csrf_token=b",
                400,
            ),
        ] {
            let request = browser.request(Method::POST, form).body(body.to_owned());
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            browser.send(request).await.expect_status(status);
        }
        let json = browser.request(Method::POST, form).body("{}");
        let json = json.header("content-type", "application/json");
        browser.send(json).await.expect_status(415);
    }
    assert_eq!(browser.session().await, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_and_clients_write_is_text_on_every_page() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let attack = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";
    let browser = Browser::of(&app);
    let page = browser.log_in(attack, "x").await;
    page.expect(401, "&#60;script&#62;alert(1)");
    let login = browser
        .request(Method::POST, "/login")
        .header("user-agent", attack);
    let fields = [
        ("username", "ada"),
        ("password", PASSWORD),
        ("next", attack),
    ];
    browser
        .send(with_form(login, &fields))
        .await
        .expect_redirect("/continue");
    let page = browser.get("/account").await;
    page.expect(200, "&#60;img src=x");
    let stranger = Browser::of(&app);
    // A target has no spaces.
    let next = format!("/{}", attack.replace(' ', "+"));
    for text in [attack, next.as_str()] {
        let query: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        for browser in [&browser, &stranger] {
            for page in [
                "/login",
                "/account",
                "/continue",
                "/logout",
                "/account/password",
                "/none",
            ] {
                let shown = browser
                    .get(&format!("{page}?next={query}&notice={query}"))
                    .await;
                assert!(
                    !shown.text.contains("<script>alert") && !shown.text.contains("<img src=x")
                );
            }
        }
        let form = stranger.get(&format!("/login?next={query}")).await;
        assert_eq!(form.value_of("next").is_some(), text != attack);
    }
    app.stop().await;
}
