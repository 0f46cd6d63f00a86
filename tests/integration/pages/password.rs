//! `/account/password`.

use skriptoteket::accounts::Role;

use crate::{
    api::support::{PASSWORD, spawn_app},
    pages::support::Browser,
};

const NEW: &str = "seven purple teapots sing 19";

fn fields<'a>(current: &'a str, new: &'a str, repeated: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("current_password", current),
        ("new_password", new),
        ("repeated_password", repeated),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_and_the_session_continues() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let (here, elsewhere) = (
        Browser::logged_in(&app, "ada").await,
        Browser::logged_in(&app, "ada").await,
    );
    let form = here.get("/account/password").await;
    form.expect(200, "autocomplete=\"new-password\"");
    let submit = async |current, new, repeated| {
        let fields = fields(current, new, repeated);
        here.submit_with_token("/account/password", &fields).await
    };
    for (page, status, text) in [
        (
            submit("wrong", NEW, NEW).await,
            403,
            "The current password is wrong.",
        ),
        (
            submit(PASSWORD, NEW, "other").await,
            422,
            "are not the same",
        ),
        (submit(PASSWORD, "short", "short").await, 422, "too short"),
        (
            submit(PASSWORD, "password1", "password1").await,
            422,
            "too easy",
        ),
        (submit(PASSWORD, "", "").await, 422, "Fill in all fields."),
    ] {
        page.expect(status, text).expect(status, "role=\"alert\"");
    }
    assert_eq!(elsewhere.session().await, 200);
    let changed = submit(PASSWORD, NEW, NEW).await;
    changed.expect_redirect("/account?notice=password-changed");
    assert_eq!(
        (here.session().await, elsewhere.session().await),
        (200, 401)
    );
    here.get("/account?notice=password-changed")
        .await
        .expect(200, "Your password is changed.");
    Browser::of(&app)
        .log_in("ada", PASSWORD)
        .await
        .expect_status(401);
    Browser::of(&app)
        .log_in("ada", NEW)
        .await
        .expect_redirect("/continue");

    // Wrong passwords are limited for the session.
    let here = Browser::of(&app);
    here.log_in("ada", NEW).await.expect_redirect("/continue");
    let wrong = fields("wrong", PASSWORD, PASSWORD);
    let mut limited = here.submit_with_token("/account/password", &wrong).await;
    for _ in 0..20 {
        if limited.status == 429 {
            break;
        }
        limited = here.submit_with_token("/account/password", &wrong).await;
    }
    limited.expect(429, "Too many attempts.");
    assert!(limited.header("retry-after").is_some());
    assert!(!limited.text.contains("aria-invalid"));

    let count = |result| {
        let labels = [("result", result)];
        app.metrics
            .counter("skriptoteket.password_changes", &labels)
    };
    assert_eq!(count("success"), Some(1));
    assert_eq!(count("invalid_credentials"), Some(11));
    assert_eq!(count("weak_password"), Some(2));
    // Each submission is one row of the audit trail, with the outcome of the API.
    let boss = app.boss().await;
    let rows = boss
        .get("/api/admin/audit?kind=password_change")
        .await
        .json();
    let mut outcomes = std::collections::BTreeMap::new();
    for row in rows["events"].as_array().unwrap() {
        let outcome = row["outcome"].as_str().unwrap().to_owned();
        *outcomes.entry(outcome).or_insert(0) += row["count"].as_u64().unwrap_or(1);
    }
    let expected = [
        ("invalid_credentials", 11),
        ("invalid_request", 2),
        ("rate_limited", 1),
        ("success", 1),
        ("weak_password", 2),
    ];
    assert_eq!(outcomes, expected.map(|(k, n)| (k.to_owned(), n)).into());
    app.stop().await;
}
