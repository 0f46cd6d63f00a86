//! `/api/admin/users`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use skriptoteket::accounts::{Role, UserId};
use sqlx::{Connection, SqliteConnection};

use crate::api::support::{PASSWORD, spawn_app};

fn new_account(name: &str, role: &str) -> Value {
    json!({"username": name, "password": PASSWORD, "role": role})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_makes_an_account_that_can_log_in() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let answer = boss
        .post("/api/admin/users", &new_account("Ada", "contributor"))
        .await;
    let account = answer.expect_status(201).json();
    let id = account["id"].as_str().unwrap();
    assert_eq!(
        account,
        json!({
            "id": id, "username": "ada", "role": "contributor", "disabled": false,
            "display_name": null, "email": null, "created_at": "2026-01-01T12:00:00Z",
        })
    );
    let location = answer.header("location").unwrap();
    assert_eq!(location, format!("/api/admin/users/{id}"));
    app.logged_in("ada").await;
    let without_role = json!({"username": "eve", "password": PASSWORD});
    let account = boss.post("/api/admin/users", &without_role).await;
    assert_eq!(account.expect_status(201).json()["role"], "user");
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_cannot_be_is_not_made() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let weak = json!({"username": "ada", "password": "password1", "role": "user"});
    let like_the_name = json!({"username": "cornelia.example", "password": "cornelia.example"});
    for (body, status, kind) in [
        (new_account("BOSS", "user"), 409, "/problems/name-taken"),
        (weak, 422, "/problems/weak-password"),
        (like_the_name, 422, "/problems/weak-password"),
        (
            new_account("no name", "user"),
            422,
            "/problems/invalid-value",
        ),
        (new_account("", "user"), 422, "/problems/invalid-value"),
        (new_account("ada", "root"), 422, "/problems/invalid-value"),
        (json!({"username": "ada"}), 400, "/problems/malformed-body"),
        (
            json!({"username": 1, "password": PASSWORD}),
            400,
            "/problems/malformed-body",
        ),
        (
            json!({"username": "ada", "password": PASSWORD, "disabled": true}),
            400,
            "/problems/malformed-body",
        ),
    ] {
        let answer = boss.post("/api/admin/users", &body).await;
        answer.expect_problem(status, kind);
        assert!(!answer.text.contains(PASSWORD), "{}", answer.text);
    }
    let users = boss.get("/api/admin/users").await.json();
    assert_eq!(users["users"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_together_show_every_account_once_the_oldest_first() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    for n in 0..5 {
        app.add_user(&format!("user{n}"), Role::User).await;
    }
    let names = ["boss", "user0", "user1", "user2", "user3", "user4"];
    for limit in [1, 3, 6, 200] {
        let (mut seen, mut query) = (Vec::new(), format!("limit={limit}"));
        loop {
            let body = boss.get(&format!("/api/admin/users?{query}")).await.json();
            for user in body["users"].as_array().unwrap() {
                assert_eq!(user.as_object().unwrap().len(), 7);
                seen.push(user["username"].as_str().unwrap().to_owned());
            }
            let Some(next) = body["next_cursor"].as_str() else {
                break;
            };
            query = format!("limit={limit}&cursor={next}");
        }
        assert_eq!(seen, names, "limit={limit}");
    }
    for query in ["limit=0", "cursor=x", "role=user", "limit=1&limit=1"] {
        let answer = boss.get(&format!("/api/admin/users?{query}")).await;
        answer.expect_problem(400, "/problems/invalid-parameter");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn role_and_disabled_are_changed_together_or_alone() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let ada = app.add_user("ada", Role::User).await;
    let browser = app.logged_in("ada").await;
    let path = format!("/api/admin/users/{}", ada.id);
    let changed = async |body: Value| {
        let answer = boss.patch(&path, &body).await.expect_status(200).json();
        (answer["role"].clone(), answer["disabled"].clone())
    };
    assert_eq!(
        changed(json!({"role": "admin"})).await,
        ("admin".into(), false.into())
    );
    browser.get("/api/admin/sessions").await.expect_status(200);
    assert_eq!(
        changed(json!({"disabled": true})).await,
        ("admin".into(), true.into())
    );
    browser.get("/api/session").await.expect_status(401);
    app.browser().log_in("ada").await.expect_status(401);
    let both = json!({"role": "user", "disabled": false});
    assert_eq!(changed(both).await, ("user".into(), false.into()));
    app.logged_in("ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_given_changed_and_removed() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let name = "Ada \"<script>\" L\u{f6}velace";
    let body = json!({
        "username": "ada", "password": PASSWORD,
        "display_name": format!("  {name} "), "email": "Ada@Example.ORG",
    });
    let answer = boss.post("/api/admin/users", &body).await;
    let account = answer.expect_status(201).json();
    let profile = |account: &Value| (account["display_name"].clone(), account["email"].clone());
    assert_eq!(profile(&account), (name.into(), "Ada@example.org".into()));

    let path = format!("/api/admin/users/{}", account["id"].as_str().unwrap());
    let browser = app.logged_in("ada").await;
    for (change, expected) in [
        (json!({"email": null}), (json!(name), Value::Null)),
        (
            json!({"role": "admin", "display_name": "Ada"}),
            (json!("Ada"), Value::Null),
        ),
        (
            json!({"display_name": null, "email": "a@b"}),
            (Value::Null, json!("a@b")),
        ),
    ] {
        let changed = boss.patch(&path, &change).await.expect_status(200).json();
        assert_eq!(profile(&changed), expected);
        assert_eq!(
            boss.get("/api/admin/users").await.json()["users"][1],
            changed
        );
    }
    // A promotion renews the session, a new profile does not end it.
    browser.get("/api/session").await.expect_status(200);
    for (body, member) in [
        (json!({"display_name": ""}), "display_name"),
        (json!({"display_name": "Ada\u{202e}"}), "display_name"),
        (json!({"display_name": "a".repeat(101)}), "display_name"),
        (json!({"email": "ada"}), "email"),
        (json!({"email": "a@b\r\nBcc: c@d"}), "email"),
    ] {
        let refused = boss.patch(&path, &body).await;
        refused.expect_problem(422, "/problems/invalid-value");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(member), "{detail}");
        let mut new = new_account("eve", "user");
        new[member] = body[member].clone();
        let refused = boss.post("/api/admin/users", &new).await;
        refused.expect_problem(422, "/problems/invalid-value");
    }
    // The audit trail names what was changed, without the values.
    let trail = boss
        .get("/api/admin/audit?kind=user_change")
        .await
        .text
        .clone();
    assert!(
        trail.contains("role: user to admin, display name"),
        "{trail}"
    );
    assert!(
        !trail.contains("a@b") && !trail.contains("script"),
        "{trail}"
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_says_nothing_or_too_much_is_refused() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let ada = app.add_user("ada", Role::User).await;
    let path = format!("/api/admin/users/{}", ada.id);
    for body in [
        json!({}),
        json!({"role": null}),
        json!({"role": 3}),
        json!({"disabled": "yes"}),
        json!({"disabled": true, "username": "eve"}),
        json!([]),
    ] {
        let answer = boss.patch(&path, &body).await;
        answer.expect_problem(400, "/problems/malformed-body");
    }
    let answer = boss.patch(&path, &json!({"role": "root"})).await;
    answer.expect_problem(422, "/problems/invalid-value");
    for nobody in [UserId::generate().to_string(), "ada".into()] {
        let path = format!("/api/admin/users/{nobody}");
        boss.patch(&path, &json!({"role": "user"}))
            .await
            .expect_status(404);
        boss.delete(&path).await.expect_status(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_is_gone_with_its_sessions() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let ada = app.add_user("ada", Role::User).await;
    let browser = app.logged_in("ada").await;
    let path = format!("/api/admin/users/{}", ada.id);
    boss.delete(&path).await.expect_status(204);
    browser.get("/api/session").await.expect_status(401);
    app.browser().log_in("ada").await.expect_status(401);
    boss.delete(&path).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_removes_the_last_superuser() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let id = boss.get("/api/session").await.json()["user"]["id"].clone();
    let path = format!("/api/admin/users/{}", id.as_str().unwrap());
    for body in [json!({"role": "admin"}), json!({"disabled": true})] {
        let answer = boss.patch(&path, &body).await;
        answer.expect_problem(409, "/problems/last-superuser");
    }
    boss.delete(&path)
        .await
        .expect_problem(409, "/problems/last-superuser");
    boss.get("/api/admin/users").await.expect_status(200);

    let second = app.someone("second", Role::Superuser).await;
    boss.patch(&path, &json!({"role": "admin"}))
        .await
        .expect_status(200);
    boss.get("/api/admin/users")
        .await
        .expect_problem(403, "/problems/not-allowed");
    second.delete(&path).await.expect_status(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_manage_no_accounts() {
    let app = spawn_app().await;
    let admin = app.someone("admin", Role::Admin).await;
    let ada = app.add_user("ada", Role::User).await;
    let path = format!("/api/admin/users/{}", ada.id);
    let stranger = app.browser();
    let mut refused = BTreeSet::new();
    for (browser, status) in [(&admin, 403), (&stranger, 401)] {
        let answers = [
            browser.get("/api/admin/users").await,
            browser
                .post("/api/admin/users", &new_account("eve", "superuser"))
                .await,
            // The body is not read.
            browser.post("/api/admin/users", &json!("junk")).await,
            browser.patch(&path, &json!({"role": "admin"})).await,
            browser.delete(&path).await,
        ];
        for answer in answers {
            refused.insert((status, answer.expect_status(status).text.clone()));
        }
    }
    assert_eq!(refused.len(), 2);
    app.logged_in("ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_changes_nothing_through_a_superusers_browser() {
    let app = spawn_app().await;
    let boss = app.someone("boss", Role::Superuser).await;
    let ada = app.add_user("ada", Role::User).await;
    let path = format!("/api/admin/users/{}", ada.id);
    let sessions = format!("{path}/sessions");
    for (method, path) in [
        ("POST", "/api/admin/users"),
        ("PATCH", &*path),
        ("DELETE", &*path),
        ("DELETE", &*sessions),
        ("DELETE", "/api/sessions"),
    ] {
        let request = boss
            .request(method, path)
            .json(&json!({"role": "superuser"}));
        let answer = boss
            .send(request.header("sec-fetch-site", "cross-site"))
            .await;
        answer.expect_problem(403, "/problems/cross-site");
    }
    let read = boss.request("GET", "/api/admin/users");
    boss.send(read.header("sec-fetch-site", "cross-site"))
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_enabled_is_200_though_its_lock_stays() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let ada = app.add_user("ada", Role::User).await;
    let path = format!("/api/admin/users/{}", ada.id);
    let disable = json!({"disabled": true});
    boss.patch(&path, &disable).await.expect_status(200);
    let url = format!("sqlite://{}", app.database.display());
    let mut file = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("DROP TABLE limits")
        .execute(&mut file)
        .await
        .unwrap();
    let answer = boss.patch(&path, &json!({"disabled": false})).await;
    assert_eq!(answer.expect_status(200).json()["disabled"], false);
}
