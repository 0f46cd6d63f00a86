//! `/login`, `/continue` and `/logout`.

use skriptoteket::accounts::{AccountChange, Role};

use crate::{
    api::support::{PASSWORD, spawn_app, spawn_app_with},
    pages::support::Browser,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_and_out_on_pages() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = Browser::of(&app);
    browser.get("/").await.expect_redirect("/login");
    let form = browser.get("/login?next=%2Faccount%2Fpassword").await;
    form.expect(200, "autocomplete=\"username\"");
    form.expect(200, "autocomplete=\"current-password\"");
    assert_eq!(form.value_of("next").as_deref(), Some("/account/password"));

    let fields = [
        ("username", "ADA"),
        ("password", PASSWORD),
        ("next", "/account/password"),
    ];
    let sent_on = browser.submit("/login", &fields).await;
    sent_on.expect_redirect("/continue?next=%2Faccount%2Fpassword");
    let next = browser.get("/continue?next=%2Faccount%2Fpassword").await;
    next.expect(200, "<a class=\"button\" href=\"/account/password\">");
    assert_eq!(next.header("refresh"), Some("0; url=/account/password"));
    browser.get("/account").await.expect(200, "<dd>ada</dd>");
    browser.get("/").await.expect_redirect("/account");
    browser.get("/login").await.expect_redirect("/continue");
    assert_eq!((app.logins("success"), app.logins("failure")), (1, 0));

    browser
        .get("/logout")
        .await
        .expect(200, "Do you want to log out");
    let out = browser.submit_with_token("/logout", &[]).await;
    out.expect_redirect("/login?notice=logged-out");
    assert!(!browser.has_cookie());
    let form = browser.get("/login?notice=logged-out").await;
    form.expect(200, "You are logged out.");
    browser
        .get("/account")
        .await
        .expect_redirect("/login?next=%2Faccount");
    browser
        .get("/logout")
        .await
        .expect(200, "You are not logged in");
    // A logout without a session is not an error.
    browser
        .submit("/logout", &[])
        .await
        .expect_redirect("/login?notice=logged-out");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_login_shows_the_form_again_and_is_counted_once() {
    let app = spawn_app().await;
    let off = app.add_user("off", Role::User).await;
    let disabled = AccountChange {
        disabled: Some(true),
        ..AccountChange::default()
    };
    app.stores.accounts.change(off.id, disabled).await.unwrap();
    app.add_user("ada", Role::User).await;
    let browser = Browser::of(&app);
    let wrong = "The user name or the password is wrong.";
    let unknown = browser.log_in("eve", PASSWORD).await;
    unknown.expect(401, wrong).expect(401, "role=\"alert\"");
    let pages = [
        browser.log_in("ada", "not the password").await,
        browser.log_in("off", PASSWORD).await,
        browser.submit("/login", &[]).await,
    ];
    // They differ in the name only.
    for (page, name) in pages.iter().zip(["ada", "off", ""]) {
        page.expect(401, wrong);
        assert_eq!(page.value_of("username"), None);
        let name = format!("required value=\"{name}\"");
        let of_eve = unknown.text.replace("required value=\"eve\"", &name);
        assert_eq!(page.text, of_eve);
        assert!(page.header("www-authenticate").is_some());
    }
    assert!(!browser.has_cookie());
    assert_eq!((app.logins("success"), app.logins("failure")), (0, 4));
    assert_eq!(app.failures("invalid_credentials"), 3);
    assert_eq!(app.failures("account_disabled"), 1);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_account_is_told_when_to_try_again() {
    let app = spawn_app_with(|config| config.guard.account_attempts = 2).await;
    app.add_user("ada", Role::User).await;
    let browser = Browser::of(&app);
    for _ in 0..2 {
        browser
            .log_in("ada", "not the password")
            .await
            .expect_status(401);
    }
    let locked = browser.log_in("ada", PASSWORD).await;
    locked.expect(429, "Too many attempts. Try again in 60 seconds.");
    assert_eq!(locked.header("retry-after"), Some("60"));
    app.clock.advance(std::time::Duration::from_mins(1));
    browser
        .log_in("ada", PASSWORD)
        .await
        .expect_redirect("/continue");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_session_has_a_cookie_that_outlives_the_browser() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    for (remember, kept) in [(&[][..], false), (&[("remember_me", "true")], true)] {
        let browser = Browser::of(&app);
        let fields = [&[("username", "ada"), ("password", PASSWORD)], remember].concat();
        let page = browser.submit("/login", &fields).await;
        let cookie = page
            .expect_redirect("/continue")
            .header("set-cookie")
            .unwrap();
        assert_eq!(cookie.contains("Max-Age="), kept, "{cookie}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_speaks_the_language_of_the_browser_or_of_the_setting() {
    let app = spawn_app().await;
    let browser = Browser::of(&app);
    for (accepted, tag, text) in [
        ("sv-SE,sv;q=0.9,en;q=0.8", "sv", "Användarnamn"),
        ("de, en;q=0.1, sv;q=0.05", "en", "User name"),
        ("fr", "en", "User name"),
        (";;q=,", "en", "User name"),
        ("sv;q=0, *", "en", "User name"),
    ] {
        let request = browser.request(reqwest::Method::GET, "/login");
        let page = browser
            .send(request.header("accept-language", accepted))
            .await;
        page.expect(200, text)
            .expect(200, &format!("<html lang=\"{tag}\">"));
        let request = browser.request(reqwest::Method::GET, "/no/such/page");
        let page = browser
            .send(request.header("accept-language", accepted))
            .await;
        page.expect(404, &format!("<html lang=\"{tag}\">"));
    }
    app.stop().await;
    let swedish = spawn_app_with(|config| {
        config.pages.language = Some(skriptoteket::pages::Language::Swedish);
        config.pages.product_name = "Dörr & <Port>".into();
    })
    .await;
    let page = Browser::of(&swedish).get("/login").await;
    page.expect(200, "Logga in")
        .expect(200, "Dörr &#38; &#60;Port&#62;");
    swedish.stop().await;
}
