//! `/api/admin/sessions` and `/api/admin/users/{id}/sessions`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use skriptoteket::accounts::{Role, UserId};

use crate::api::support::{Browser, spawn_app};

async fn page(browser: &Browser, query: &str) -> (Vec<Value>, Option<String>) {
    let answer = browser.get(&format!("/api/admin/sessions?{query}")).await;
    let body = answer.expect_status(200).json();
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    let next = body["next_cursor"].as_str().map(str::to_owned);
    (body["sessions"].as_array().unwrap().clone(), next)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_everybodys_sessions_with_their_owners() {
    let app = spawn_app().await;
    let admin = app.someone("boss", Role::Admin).await;
    let ada = app.add_user("ada", Role::User).await;
    app.logged_in("ada").await;
    let (sessions, next) = page(&admin, "user=ada").await;
    let [session] = &sessions[..] else {
        panic!("{sessions:?}")
    };
    assert_eq!(next, None);
    let owner = json!({"id": ada.id.to_string(), "username": "ada", "role": "user"});
    assert_eq!(session["user"], owner);
    assert_eq!(session["created_at"], "2026-01-01T12:00:00Z");
    assert_eq!(session["last_seen_at"], "2026-01-01T12:00:00Z");
    assert_eq!(session["expires_at"], "2026-01-01T12:30:00Z");
    assert_eq!(session["user_agent"], "");
    assert_eq!(session["network"], "127.0.0.0/24");
    assert_eq!(session.as_object().unwrap().len(), 7);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_together_show_every_session_once() {
    let app = spawn_app().await;
    let admin = app.someone("boss", Role::Admin).await;
    for n in 0..6 {
        app.someone(&format!("user{n}"), Role::User).await;
    }
    let (all, _) = page(&admin, "").await;
    assert_eq!(all.len(), 7);
    for limit in [1, 3, 7, 200] {
        let (mut seen, mut query) = (BTreeSet::new(), format!("limit={limit}"));
        loop {
            let (sessions, next) = page(&admin, &query).await;
            assert!(sessions.len() <= limit);
            for session in sessions {
                assert!(seen.insert(session["id"].as_str().unwrap().to_owned()));
            }
            let Some(next) = next else { break };
            query = format!("limit={limit}&cursor={next}");
        }
        assert_eq!(seen.len(), 7, "limit={limit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_the_list() {
    let app = spawn_app().await;
    let admin = app.someone("boss", Role::Admin).await;
    let ada = app.add_user("ada", Role::User).await;
    app.logged_in("ada").await;
    app.logged_in("ada").await;
    let count = async |query: &str| page(&admin, query).await.0.len();
    assert_eq!(count("role=user").await, 2);
    assert_eq!(count("role=admin").await, 1);
    assert_eq!(count("role=contributor").await, 0);
    assert_eq!(count(&format!("user={}", ada.id)).await, 2);
    assert_eq!(count("user=ADA").await, 2);
    assert_eq!(count("user=nobody").await, 0);
    assert_eq!(count(&format!("user={}", UserId::generate())).await, 0);
    assert_eq!(count(&format!("user={}&role=admin", ada.id)).await, 0);
    assert_eq!(count("role=&user=&cursor=&limit=").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_parameter_is_named_and_not_quoted() {
    let app = spawn_app().await;
    let admin = app.someone("boss", Role::Admin).await;
    for (query, named) in [
        ("role=root-of-evil", "role"),
        ("role=Admin", "role"),
        ("user=%3Cevil%3E", "user"),
        ("cursor=evil", "cursor"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=evil", "limit"),
        ("evil=1", "role, user, cursor, limit"),
        ("role=user&role=user", "role"),
    ] {
        let answer = admin.get(&format!("/api/admin/sessions?{query}")).await;
        answer.expect_problem(400, "/problems/invalid-parameter");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains(named) && !detail.contains("evil"),
            "{query}: {detail}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_all_sessions_of_a_user() {
    let app = spawn_app().await;
    let admin = app.someone("boss", Role::Admin).await;
    let ada = app.add_user("ada", Role::User).await;
    let (here, there) = (app.logged_in("ada").await, app.logged_in("ada").await);
    let path = format!("/api/admin/users/{}/sessions", ada.id);
    admin.delete(&path).await.expect_status(204);
    here.get("/api/session").await.expect_status(401);
    there.get("/api/session").await.expect_status(401);
    admin.get("/api/session").await.expect_status(200);
    admin.delete(&path).await.expect_status(204);
    for nobody in [UserId::generate().to_string(), "ada".into(), "%00".into()] {
        let path = format!("/api/admin/users/{nobody}/sessions");
        admin.delete(&path).await.expect_problem(404, "about:blank");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_roles_and_strangers_are_kept_out() {
    let app = spawn_app().await;
    let ada = app.add_user("ada", Role::Contributor).await;
    let path = format!("/api/admin/users/{}/sessions", ada.id);
    let browser = app.logged_in("ada").await;
    let answer = browser.get("/api/admin/sessions").await;
    answer.expect_problem(403, "/problems/not-allowed");
    browser
        .delete(&path)
        .await
        .expect_problem(403, "/problems/not-allowed");
    let stranger = app.browser();
    stranger.get("/api/admin/sessions").await.expect_status(401);
    stranger.delete(&path).await.expect_status(401);
}
