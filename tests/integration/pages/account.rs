//! `/account`: the profile and the sessions of the user.

use reqwest::Method;
use skriptoteket::{
    accounts::{AccountChange, Role},
    sessions::EndReason,
};

use crate::{
    api::support::{PASSWORD, spawn_app, with_form},
    pages::support::Browser,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_account_shows_profile_and_sessions() {
    let app = spawn_app().await;
    let ada = app.add_user("ada", Role::Contributor).await;
    let browser = Browser::of(&app);
    let login = browser.request(Method::POST, "/login");
    let login = login.header(
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Firefox/142.0",
    );
    let login = with_form(login, &[("username", "ada"), ("password", PASSWORD)]);
    browser.send(login).await.expect_redirect("/continue");
    let page = browser.get("/account").await;
    for text in [
        "Firefox, Linux",
        "127.0.0.0/24",
        "This session",
        "<time datetime=\"2026-01-01T12:00:00Z\">2026-01-01 12:00 UTC</time>",
        "<dd>Contributor</dd>",
        "not set",
    ] {
        page.expect(200, text);
    }
    assert!(!page.text.contains("End all other sessions"));
    let change = AccountChange {
        display_name: Some(Some("Ada <b>".parse().unwrap())),
        email: Some(Some("ada@example.org".parse().unwrap())),
        ..AccountChange::default()
    };
    app.stores.accounts.change(ada.id, change).await.unwrap();
    let page = browser.get("/account").await;
    page.expect(200, "Ada &#60;b&#62;")
        .expect(200, "ada@example.org");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_ended_one_by_one_or_all_others() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    app.add_user("eve", Role::User).await;
    let mut browsers = Vec::new();
    for _ in 0..4 {
        browsers.push(Browser::logged_in(&app, "ada").await);
    }
    let here = browsers.remove(0);
    let page = here.get("/account").await;
    let ids: Vec<&str> = page
        .text
        .split("name=\"session\" value=\"")
        .skip(1)
        .collect();
    let ids: Vec<String> = ids
        .iter()
        .map(|it| it.split('"').next().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 4);
    // The current one comes first.
    let end = async |id: &str| {
        here.submit_with_token("/account/sessions/end", &[("session", id)])
            .await
    };
    end(&ids[1])
        .await
        .expect_redirect("/account?notice=session-ended");
    here.get("/account?notice=session-ended")
        .await
        .expect(200, "The session has ended.");
    // The same form again.
    end(&ids[1])
        .await
        .expect_redirect("/account?notice=session-gone");
    let mut alive = 0;
    for browser in &browsers {
        alive += u32::from(browser.session().await == 200);
    }
    assert_eq!(alive, 2);

    // A session of another user is not one's own.
    let eve = Browser::logged_in(&app, "eve").await;
    let of_eve = eve.get("/account").await.value_of("session").unwrap();
    end(&of_eve)
        .await
        .expect_redirect("/account?notice=session-gone");
    end("x")
        .await
        .expect_redirect("/account?notice=session-gone");
    assert_eq!(eve.session().await, 200);

    let others = here
        .submit_with_token("/account/sessions/end-others", &[])
        .await;
    others.expect_redirect("/account?notice=other-sessions-ended");
    for browser in &browsers {
        assert_eq!(browser.session().await, 401);
    }
    assert_eq!(here.session().await, 200);
    end(&ids[0])
        .await
        .expect_redirect("/login?notice=logged-out");
    assert!(!here.has_cookie());
    let census = app.stores.sessions.census().await.unwrap();
    let ended = census.totals.ended[Role::User.index()];
    assert_eq!(ended[EndReason::Revoked.index()], 4);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_while_its_page_is_open_leads_to_the_login() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = Browser::logged_in(&app, "ada").await;
    let token = browser.token().await;
    let logged_in = app.logged_in("ada").await;
    logged_in.delete("/api/sessions").await.expect_status(204);
    let fields = [
        ("csrf_token", token.as_str()),
        ("current_password", PASSWORD),
        ("new_password", "seven purple teapots sing 19"),
        ("repeated_password", "seven purple teapots sing 19"),
    ];
    let page = browser.submit("/account/password", &fields).await;
    page.expect(401, "Your session has ended")
        .expect(401, "href=\"/login\"");
    browser
        .get("/account?x=1")
        .await
        .expect_redirect("/login?next=%2Faccount%3Fx%3D1");
    // Nothing was changed.
    Browser::logged_in(&app, "ada").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_account_is_gone_ends_at_the_account() {
    let app = spawn_app().await;
    let ada = app.add_user("ada", Role::User).await;
    let browser = Browser::logged_in(&app, "ada").await;
    // Deleted without the end of its sessions, as after the restore of a backup.
    assert!(app.stores.accounts.delete(ada.id).await.unwrap());
    browser.get("/account").await.expect_redirect("/login");
    browser.get("/login").await.expect_status(200);
    assert!(!browser.has_cookie());
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_not_shown_for_a_link_from_elsewhere() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = Browser::logged_in(&app, "ada").await;
    let notice = "Your password is changed.";
    for (site, shown) in [
        ("same-origin", true),
        ("cross-site", false),
        ("none", false),
    ] {
        let request = browser.request(Method::GET, "/account?notice=password-changed");
        let page = browser.send(request.header("sec-fetch-site", site)).await;
        assert_eq!(page.text.contains(notice), shown, "{site}");
    }
    app.stop().await;
}
