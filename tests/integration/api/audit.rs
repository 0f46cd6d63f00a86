//! `/api/admin/audit`: administrative actions and password changes are recorded once, including rejected ones.

use serde_json::{Value, json};
use skriptoteket::accounts::{Role, UserId};

use crate::api::support::{App, Browser, PASSWORD, spawn_app};

/// Returns all events except logins, oldest first: kind, outcome and count. Waits until the counts add up to
/// `attempts`: rejected attempts are written after the response is sent.
async fn actions(boss: &Browser, attempts: u64) -> Vec<(String, String, u64)> {
    loop {
        let events = all(boss, "").await;
        let actions: Vec<_> = events
            .iter()
            .rev()
            .filter(|event| event["kind"] != "login" && event["actor"] != "system")
            .map(|event| {
                let text = |name: &str| event[name].as_str().unwrap().to_owned();
                (
                    text("kind"),
                    text("outcome"),
                    event["count"].as_u64().unwrap(),
                )
            })
            .collect();
        let seen: u64 = actions.iter().map(|(_, _, count)| count).sum();
        assert!(seen <= attempts, "{actions:?}");
        if seen == attempts {
            return actions;
        }
        tokio::task::yield_now().await;
    }
}

/// Returns all events that match the query, newest first.
async fn all(boss: &Browser, query: &str) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = boss
            .get(&format!("/api/admin/audit?limit=200{query}{cursor}"))
            .await;
        let page = answer.expect_status(200).json();
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

fn new_account(name: &str, password: &str) -> Value {
    json!({"username": name, "password": password, "role": "user"})
}

async fn id_of(app: &App, name: &str) -> String {
    let name = name.parse().unwrap();
    let account = app.stores.accounts.find_by_username(&name).await;
    account.unwrap().unwrap().user.id.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_on_accounts_is_one_row_with_its_outcome() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let users = "/api/admin/users";
    let nobody = format!("{users}/018f0000-0000-7000-8000-000000000000");
    boss.post(users, &new_account("ada", PASSWORD))
        .await
        .expect_status(201);
    boss.post(users, &new_account("ada", PASSWORD))
        .await
        .expect_status(409);
    boss.post(users, &new_account("eve", "password1"))
        .await
        .expect_status(422);
    let ada = format!("{users}/{}", id_of(&app, "ada").await);
    boss.patch(&ada, &json!({"role": "admin"}))
        .await
        .expect_status(200);
    boss.patch(&ada, &json!({"role": "root"}))
        .await
        .expect_status(422);
    boss.patch(&nobody, &json!({"role": "admin"}))
        .await
        .expect_status(404);
    let browser = app.logged_in("ada").await;
    browser
        .patch(&ada, &json!({"role": "superuser"}))
        .await
        .expect_status(403);
    browser.get(users).await.expect_status(403);
    boss.delete(&format!("{ada}/sessions"))
        .await
        .expect_status(204);
    let own = format!("{users}/{}", id_of(&app, "boss").await);
    boss.delete(&own).await.expect_status(409);
    boss.delete(&ada).await.expect_status(204);
    app.browser().delete(&ada).await.expect_status(401);

    let expected = [
        ("user_create", "success"),
        ("user_create", "conflict"),
        ("user_create", "weak_password"),
        ("user_change", "success"),
        ("user_change", "invalid_request"),
        ("user_change", "not_found"),
        ("user_change", "forbidden"),
        ("admin_read", "forbidden"),
        ("session_revoke", "success"),
        ("user_delete", "last_superuser"),
        ("user_delete", "success"),
        ("user_delete", "unauthenticated"),
    ];
    let mut expected: Vec<_> = expected
        .iter()
        .map(|(kind, outcome)| ((*kind).to_owned(), (*outcome).to_owned(), 1))
        .collect();
    // Rejected attempts and changes are written by different tasks, so their relative order follows from time alone.
    expected.sort();
    let mut recorded = actions(&boss, expected.len() as u64).await;
    recorded.sort();
    assert_eq!(recorded, expected);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_says_who_did_what_to_whom_and_from_where() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let ada = app.add_user("ada", Role::User).await;
    let path = format!("/api/admin/users/{}", ada.id);
    let change = json!({"role": "superuser", "disabled": true});
    boss.patch(&path, &change).await.expect_status(200);
    let actor = format!("user:{}", id_of(&app, "boss").await);
    let events = all(&boss, "&kind=user_change").await;
    assert_eq!(
        events,
        [json!({
            "at": "2026-01-01T12:00:00Z", "last_at": "2026-01-01T12:00:00Z", "count": 1,
            "kind": "user_change", "outcome": "success", "actor": actor, "user_id": ada.id,
            "target": null, "detail": "role: user to superuser, disabled", "address": "127.0.0.1",
        })]
    );
    let service = json!({"id": "orders", "description": "a text that is nowhere else"});
    boss.post("/api/admin/services", &service)
        .await
        .expect_status(201);
    let change = json!({"description": "another text", "disabled": true});
    boss.patch("/api/admin/services/orders", &change)
        .await
        .expect_status(200);
    let rotate = "/api/admin/services/orders/rotate";
    boss.post(rotate, &json!({})).await.expect_status(200);
    boss.post(rotate, &json!({})).await.expect_status(409);
    boss.post(rotate, &json!({"force": true}))
        .await
        .expect_status(200);
    boss.delete("/api/admin/services/orders")
        .await
        .expect_status(204);
    actions(&boss, 7).await;
    let mut told = Vec::new();
    for event in all(&boss, &format!("&actor={actor}")).await.iter().rev() {
        if event["target"] == "service:orders" {
            told.push((
                event["kind"].clone(),
                event["outcome"].clone(),
                event["detail"].clone(),
            ));
        }
    }
    told.sort_by_key(|it| format!("{it:?}"));
    let mut expected = [
        (json!("service_register"), json!("success"), json!(null)),
        (
            json!("service_change"),
            json!("success"),
            json!("disabled, description"),
        ),
        (json!("service_rotate"), json!("success"), json!(null)),
        (json!("service_rotate"), json!("conflict"), json!(null)),
        (json!("service_rotate"), json!("success"), json!("forced")),
        (json!("service_delete"), json!("success"), json!(null)),
    ];
    expected.sort_by_key(|it| format!("{it:?}"));
    assert_eq!(told, expected);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn password_changes_are_recorded_and_guesses_share_a_row() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let ada = app.someone("ada", Role::User).await;
    let change = |current: &str, new: &str| json!({"current": current, "new": new});
    let new = "a tundra lantern in the quarry 41";
    for _ in 0..3 {
        let guess = change("a wrong guess", new);
        ada.post("/api/password", &guess).await.expect_status(403);
    }
    ada.post("/api/password", &change(PASSWORD, "password1"))
        .await
        .expect_status(422);
    ada.post("/api/password", &change(PASSWORD, new))
        .await
        .expect_status(204);
    let mut recorded = actions(&boss, 5).await;
    recorded.sort();
    let kind = || String::from("password_change");
    assert_eq!(
        recorded,
        [
            (kind(), "invalid_credentials".into(), 3),
            (kind(), "success".into(), 1),
            (kind(), "weak_password".into(), 1),
        ]
    );
    let id = id_of(&app, "ada").await;
    for event in all(&boss, "&kind=password_change").await {
        assert_eq!(event["user_id"], id);
        assert_eq!(event["actor"], format!("user:{id}"));
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_does_not_end_the_sessions_of_a_higher_role() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let ada = app.someone("ada", Role::Admin).await;
    let eve = app.someone("eve", Role::Admin).await;
    let sessions = |id: &str| format!("/api/admin/users/{id}/sessions");
    let refused = ada.delete(&sessions(&id_of(&app, "boss").await)).await;
    refused.expect_problem(403, "/problems/not-allowed");
    boss.get("/api/session").await.expect_status(200);
    ada.delete(&sessions(&id_of(&app, "eve").await))
        .await
        .expect_status(204);
    eve.get("/api/session").await.expect_status(401);
    boss.delete(&sessions(&id_of(&app, "ada").await))
        .await
        .expect_status(204);
    let recorded = actions(&boss, 3).await;
    let refused: Vec<_> = recorded
        .iter()
        .filter(|(_, outcome, _)| outcome == "forbidden")
        .collect();
    assert_eq!(refused.len(), 1, "{recorded:?}");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_for_superusers_and_its_filters_are_checked() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let ada = app.someone("ada", Role::Admin).await;
    ada.get("/api/admin/audit")
        .await
        .expect_problem(403, "/problems/not-allowed");
    app.browser()
        .get("/api/admin/audit")
        .await
        .expect_status(401);
    for query in [
        "kind=logins",
        "actor=ada",
        "address=here",
        "since=yesterday",
        "until=1",
        "cursor=x",
        "limit=0",
        "users=ada",
        "user=",
    ] {
        let answer = boss.get(&format!("/api/admin/audit?{query}")).await;
        if query == "user=" {
            answer.expect_status(200);
        } else {
            answer.expect_problem(400, "/problems/invalid-parameter");
        }
    }
    let of = |query: &str| {
        let query = format!("&kind=login&{query}");
        let boss = &boss;
        async move { all(boss, &query).await.len() }
    };
    assert_eq!(of("user=ada").await, 1);
    assert_eq!(of(&format!("user={}", id_of(&app, "ada").await)).await, 1);
    assert_eq!(of("user=nobody").await, 0);
    assert_eq!(of("address=127.0.0.1").await, 2);
    assert_eq!(of("outcome=success&since=2026-01-01T12:00:00Z").await, 2);
    assert_eq!(of("until=2026-01-01T12:00:00Z").await, 0);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refused_request_names_makes_no_rows_and_is_not_recorded() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let ada = app.someone("ada", Role::Admin).await;
    let random = || format!("/api/admin/users/{}", UserId::generate());
    for _ in 0..10 {
        let stranger = app.browser();
        stranger.delete(&random()).await.expect_status(401);
        ada.delete(&random()).await.expect_status(403);
        boss.delete(&random()).await.expect_status(404);
        let sessions = format!("{}/sessions", random());
        ada.delete(&sessions).await.expect_status(404);
        boss.patch(&random(), &json!({"role": "root"}))
            .await
            .expect_status(422);
    }
    // The ID of a service is not the ID of a user.
    boss.delete("/api/admin/users/billing")
        .await
        .expect_status(404);
    let mut recorded = actions(&boss, 51).await;
    recorded.sort();
    let rows = [
        ("session_revoke", "not_found", 10),
        ("user_change", "invalid_request", 10),
        ("user_delete", "forbidden", 10),
        ("user_delete", "not_found", 11),
        ("user_delete", "unauthenticated", 10),
    ];
    assert_eq!(
        recorded,
        rows.map(|(kind, outcome, n)| (kind.to_owned(), outcome.to_owned(), n))
    );
    for event in all(&boss, "").await {
        if event["kind"] != "login" && event["actor"] != "system" {
            assert_eq!(
                (&event["user_id"], &event["target"]),
                (&Value::Null, &Value::Null),
                "{event}"
            );
        }
    }
    // Targets that exist are named.
    let own = format!("/api/admin/users/{}", id_of(&app, "boss").await);
    boss.delete(&own).await.expect_status(409);
    let ada = format!("/api/admin/users/{}", id_of(&app, "ada").await);
    boss.delete(&format!("{ada}/sessions"))
        .await
        .expect_status(204);
    boss.patch(&ada, &json!({"role": "admin"}))
        .await
        .expect_status(200);
    actions(&boss, 54).await;
    for (query, name) in [
        ("&outcome=last_superuser", "boss"),
        ("&kind=session_revoke&outcome=success", "ada"),
        ("&kind=user_change&outcome=success", "ada"),
    ] {
        let events = all(&boss, query).await;
        assert_eq!(events.len(), 1, "{query}");
        assert_eq!(events[0]["user_id"], id_of(&app, name).await, "{query}");
    }
    app.stop().await;
}
