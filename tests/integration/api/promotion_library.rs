//! A promotion in an application that embeds the HTTP contract.

use std::time::Duration;

use skriptoteket::accounts::{AccountChange, Role};

use crate::api::support::{Host, PUBLIC, host};

const COOKIE: &str = "skriptoteket";

/// Gives Ada this role. Her session changes its role in the same step.
async fn promote(host: &Host, role: Role) {
    let name = "ada".parse().unwrap();
    let account = host.stores.accounts.find_by_username(&name).await.unwrap();
    let change = AccountChange {
        role: Some(role),
        ..AccountChange::default()
    };
    let id = account.unwrap().user.id;
    let changed = host.api.lifecycle.change(id, change).await;
    assert!(changed.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_keeps_its_state_and_what_it_changes_at_that_very_request() {
    let host = host().await;
    let browser = host.ada().await;
    let post = async |path: &str| browser.send(browser.request("POST", path)).await;
    assert_eq!(post("/visits").await.json(), 1);
    for (role, visits) in [(Role::Contributor, 2), (Role::Admin, 4)] {
        promote(&host, role).await;
        let old = browser.cookie().unwrap();
        let answer = post("/visits").await;
        assert_eq!(answer.expect_status(200).json(), visits);
        assert_eq!(answer.set_cookies().len(), 1);
        let thief = host.browser();
        thief.set_cookie(COOKIE, &old);
        thief.get("/api/session").await.expect_status(401);
        let answer = post("/visits").await;
        assert_eq!(answer.json(), visits + 1);
        assert!(answer.set_cookies().is_empty());
    }
    // A request that does not change the session state.
    promote(&host, Role::User).await;
    promote(&host, Role::Admin).await;
    assert_eq!(browser.get("/api/session").await.set_cookies().len(), 1);
    assert_eq!(post("/visits").await.json(), 6);
    let census = host.stores.sessions.census().await.unwrap();
    assert_eq!(census.sessions, [0, 0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cache_keeps_the_answer_with_a_new_key() {
    let host = host().await;
    let browser = host.ada().await;
    let kept = async || {
        let answer = browser.get("/logo").await;
        let answer = answer.expect_status(200);
        let kept = answer.header("cache-control").map(str::to_owned);
        (kept, answer.set_cookies().len())
    };
    let public = (Some(PUBLIC.to_owned()), 0);
    assert_eq!(kept().await, public);
    promote(&host, Role::Admin).await;
    assert_eq!(kept().await, (Some("no-store".to_owned()), 1));
    assert_eq!(kept().await, public);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_fails_or_falls_over_does_not_lose_the_key() {
    let host = host().await;
    let browser = host.ada().await;
    for (role, path, status) in [
        (Role::Contributor, "/fall", 500),
        (Role::Admin, "/number", 400),
    ] {
        promote(&host, role).await;
        let answer = browser.send(browser.request("POST", path)).await;
        answer.expect_problem(status, "about:blank");
        assert_eq!(answer.set_cookies().len(), 1, "{path}");
        let next = browser.get("/api/session").await;
        assert!(next.expect_status(200).set_cookies().is_empty(), "{path}");
    }
    // Requests that log out still do so.
    for path in ["/leave", "/renew"] {
        let browser = host.ada().await;
        promote(&host, Role::User).await;
        promote(&host, Role::Admin).await;
        let answer = browser.send(browser.request("POST", path)).await;
        let cookies = answer.expect_status(204).set_cookies();
        assert!(cookies.iter().all(|it| it.contains("Max-Age=0")), "{path}");
        browser.get("/api/session").await.expect_status(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_that_nobody_comes_to_take_ends_its_session() {
    let host = host().await;
    let browser = host.ada().await;
    promote(&host, Role::Admin).await;
    tokio::select! {
        _ = browser.send(browser.request("POST", "/slow")) => panic!("the request did not wait"),
        () = host.slow.reached() => {}
    }
    drop(browser);
    let ended = async || host.stores.sessions.census().await.unwrap().totals.ended;
    for _ in 0..3_000 {
        if ended().await[Role::Admin.index()].iter().sum::<u64>() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ended().await[Role::Admin.index()], [0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(
        host.stores.sessions.census().await.unwrap().sessions,
        [0; 4]
    );
}
