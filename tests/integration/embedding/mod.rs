//! Sessions, logins and gauges in another application: [`Skriptoteket::builder`](skriptoteket::Skriptoteket::builder) on
//! a real Redis.

mod application;
mod metrics;
mod refused;

use reqwest::StatusCode;
use skriptoteket::{
    accounts::{Role, password::hash_blocking},
    clock::{Clock, SystemClock, Timestamp},
};
use skriptoteket_testing::{
    http::{client, plain},
    parts::CHEAP,
    redis::RedisServer,
    wait::eventually,
};

use application::{Application, PASSWORD, Users, builder};

#[tokio::test(flavor = "multi_thread")]
async fn users_of_an_application_log_in_see_its_pages_and_log_out() {
    let redis = RedisServer::start(&[]);
    let users = Users::new(&[("ada", Role::Admin)]);
    let app = Application::start(builder(&redis, &users)).await;
    let browser = client();

    let (status, body) = app.get(&browser, "/").await;
    assert_eq!(status, 401, "{body}");
    let wrong = app.log_in(&browser, "ada", "wrong").await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let unknown = app.log_in(&browser, "bob", PASSWORD).await;
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
    let right = app.log_in(&browser, "Ada", PASSWORD).await;
    assert_eq!(right.status(), StatusCode::OK);
    assert_eq!(
        app.get(&browser, "/").await,
        (200, "hello, ada (admin)".to_owned())
    );
    let (status, sessions) = app.get(&browser, "/api/sessions").await;
    assert_eq!(status, 200, "{sessions}");
    assert!(sessions.contains("\"current\":true"), "{sessions}");

    let logout = browser.post(format!("{}/api/logout", app.url));
    assert!(logout.send().await.unwrap().status().is_success());
    assert_eq!(app.get(&browser, "/").await.0, 401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_application_keep_their_own_answers() {
    let redis = RedisServer::start(&[]);
    let app = Application::start(builder(&redis, &Users::default())).await;
    let response = plain().get(format!("{}/broken", app.url));
    let response = response.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let text = response.text().await.unwrap();
    assert!(!text.contains("this page is broken"), "{text}");
    let missing = plain().get(format!("{}/missing", app.url));
    assert_eq!(
        missing.send().await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    // What the application refuses, it refuses in its own words.
    let refusing = plain().get(format!("{}/refusing", app.url));
    let refusing = refusing.send().await.unwrap();
    assert_eq!(refusing.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refusing.headers()["retry-after"], "7");
    assert_eq!(refusing.text().await.unwrap(), "slower, please");
    // Restrictions for the browser are the application's own decision.
    let open = plain().get(format!("{}/open", app.url));
    let open = open.send().await.unwrap();
    assert_eq!(open.status(), StatusCode::OK);
    assert!(!open.headers().contains_key("content-security-policy"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_accounts_reach_their_sessions() {
    let redis = RedisServer::start(&[]);
    let users = Users::new(&[
        ("ada", Role::Admin),
        ("bob", Role::User),
        ("cyd", Role::User),
    ]);
    let app = Application::start(builder(&redis, &users)).await;
    let (ada, bob, cyd) = (client(), client(), client());
    for (browser, name) in [(&ada, "ada"), (&bob, "bob"), (&cyd, "cyd")] {
        let login = app.log_in(browser, name, PASSWORD).await;
        assert_eq!(login.status(), StatusCode::OK);
    }

    let id = users.change("ada", |it| it.role = Role::User);
    app.sk.account_changed(id).await.unwrap();
    assert_eq!(app.get(&ada, "/").await.1, "hello, ada (user)");

    let id = users.change("bob", |it| it.disabled = true);
    app.sk.account_changed(id).await.unwrap();
    assert_eq!(app.get(&bob, "/").await.0, 401);
    let login = app.log_in(&bob, "bob", PASSWORD).await;
    assert_eq!(login.status(), StatusCode::UNAUTHORIZED);

    let id = users.remove("cyd");
    app.sk.account_changed(id).await.unwrap();
    assert_eq!(app.get(&cyd, "/").await.0, 401);

    // A changed password ends the sessions that were started before.
    let hash = hash_blocking(&CHEAP, &"another password".into()).unwrap();
    let id = users.change("ada", |it| it.password_hash = hash);
    app.sk.password_changed(id).await.unwrap();
    assert_eq!(app.get(&ada, "/").await.0, 401);
    let login = app.log_in(&ada, "ada", PASSWORD).await;
    assert_eq!(login.status(), StatusCode::UNAUTHORIZED);
    let login = app.log_in(&ada, "ada", "another password").await;
    assert_eq!(login.status(), StatusCode::OK);
    // So does a time of the change, also if it is later than that of the account.
    let now = SystemClock::default().now();
    let id = users.change("ada", |it| {
        it.changed_at = Some(Timestamp::from_millis(now.as_millis() - 1_000));
        it.sessions_since = Some(Timestamp::from_millis(now.as_millis() + 1));
    });
    app.sk.account_changed(id).await.unwrap();
    assert_eq!(app.get(&ada, "/").await.0, 401);
    let login = app.log_in(&ada, "ada", "another password").await;
    assert_eq!(login.status(), StatusCode::OK);
    assert_eq!(app.get(&ada, "/").await.0, 200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_gone_nobody_is_taken_for_logged_out() {
    let mut redis = RedisServer::start(&[]);
    let users = Users::new(&[("ada", Role::Admin)]);
    let app = Application::start(builder(&redis, &users).store_timeout(
        // Every wait for the killed server takes this long.
        std::time::Duration::from_secs(2),
    ))
    .await;
    let browser = client();
    app.log_in(&browser, "ada", PASSWORD).await;
    assert_eq!(app.get(&plain(), "/ready").await.0, 200);

    redis.kill();
    let (status, body) = app.get(&browser, "/").await;
    assert_eq!(status, 503, "{body}");
    // A page that needs no user is shown all the same.
    assert_eq!(app.get(&browser, "/open").await.0, 200);
    let (status, body) = app.get(&plain(), "/ready").await;
    assert_eq!(status, 503, "{body}");
    // Everyone can read that, so it does not say where Redis is.
    assert!(!body.contains("127.0.0.1"), "{body}");

    redis.restart();
    let url = format!("{}/api/session", app.url);
    let handle = tokio::runtime::Handle::current();
    // The server kept nothing on disk, so the session is gone: the 401 instead of a 503 shows that it responds again.
    tokio::task::spawn_blocking(move || {
        eventually("Redis answers again", || {
            let status = handle.block_on(browser.get(&url).send()).unwrap().status();
            (status == StatusCode::UNAUTHORIZED).then_some(())
        });
    })
    .await
    .unwrap();
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_sessions_and_applications_with_another_prefix_do_not() {
    let redis = RedisServer::start(&[]);
    let users = Users::new(&[("ada", Role::Admin)]);
    let one = Application::start(builder(&redis, &users)).await;
    let two = Application::start(builder(&redis, &users)).await;
    let other = builder(&redis, &users).redis_key_prefix("other");
    let other = Application::start(other.cookie_name("other")).await;
    let browser = client();
    // Cookies do not depend on the port.
    one.log_in(&browser, "ada", PASSWORD).await;
    assert_eq!(two.get(&browser, "/").await.0, 200);
    assert_eq!(other.get(&browser, "/").await.0, 401);
    // A login there leaves the cookie of the first one alone.
    other.log_in(&browser, "ada", PASSWORD).await;
    for app in [&one, &two, &other] {
        assert_eq!(app.get(&browser, "/").await.0, 200);
    }
    for app in [one, two, other] {
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_or_purged_session_of_the_framework_is_a_logout() {
    let redis = RedisServer::start(&[]);
    let users = Users::new(&[("ada", Role::Admin)]);
    let app = Application::start(builder(&redis, &users)).await;
    let browser = client();
    app.log_in(&browser, "ada", PASSWORD).await;
    assert_eq!(app.get(&browser, "/renewing").await.0, 200);
    assert_eq!(app.get(&browser, "/").await.0, 401);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_gets_no_principal_for_a_websocket() {
    let redis = RedisServer::start(&[]);
    let users = Users::new(&[("ada", Role::Admin)]);
    let app = Application::start(builder(&redis, &users)).await;
    let browser = client();
    app.log_in(&browser, "ada", PASSWORD).await;
    let handshake = |site: &str| {
        let handshake = browser.get(&app.url).header("sec-fetch-site", site);
        handshake.header("upgrade", "websocket").send()
    };
    assert_eq!(handshake("same-origin").await.unwrap().status(), 200);
    assert_eq!(handshake("cross-site").await.unwrap().status(), 403);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_given_up_ends_quietly() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let redis = RedisServer::start(&[]);
    let builder = builder(&redis, &Users::default()).redis(format!("redis://{address}"));
    // Polled once, so that it has started, and then dropped here, in async code.
    let start = std::pin::pin!(builder.start());
    let first = futures_util::future::poll_immediate(start).await;
    assert!(first.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_starts_without_its_redis_and_has_sessions_once_it_is_there() {
    let mut redis = RedisServer::start(&[]);
    let users = Users::new(&[("ada", Role::Admin)]);
    redis.kill();
    let timeout = std::time::Duration::from_secs(2);
    let app = Application::start(builder(&redis, &users).store_timeout(timeout)).await;
    assert_eq!(app.log_in(&client(), "ada", PASSWORD).await.status(), 503);
    redis.restart();
    let url = format!("{}/ready", app.url);
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        eventually("Redis is found", || {
            let status = handle.block_on(plain().get(&url).send()).unwrap().status();
            (status == StatusCode::OK).then_some(())
        });
    })
    .await
    .unwrap();
    assert_eq!(app.log_in(&client(), "ada", PASSWORD).await.status(), 200);
    app.stop().await;
}
