//! Metrics as an operator reads them with `curl`.

use skriptoteket_testing::{
    http::client,
    page::Page,
    service::{PASSWORD, Service},
};

const ROLES: [&str; 4] = ["user", "contributor", "admin", "superuser"];

#[tokio::test]
async fn the_three_required_metrics_are_there_under_exactly_their_names_and_labels() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    let page = service.page().await;
    assert_eq!(
        page.series_of("skriptoteket_active_sessions"),
        ["skriptoteket_active_sessions"]
    );
    assert_eq!(
        page.series_of("skriptoteket_logins_total"),
        [
            "skriptoteket_logins_total{status=\"failure\"}",
            "skriptoteket_logins_total{status=\"success\"}"
        ]
    );
    let mut by_role = ROLES.map(|role| format!("skriptoteket_users_by_role{{role=\"{role}\"}}"));
    by_role.sort();
    assert_eq!(page.series_of("skriptoteket_users_by_role"), by_role);
    for series in page.series() {
        if series.starts_with("skriptoteket_") && !series.contains("_bucket") {
            let own = [
                "census",
                "observer",
                "store_operation",
                "login_duration",
                "signing_key_age",
            ];
            let moves = own.iter().any(|it| series.contains(it));
            assert!(
                moves || page.value(series) == 0.0,
                "{series} is not 0 before its first event"
            );
        }
    }
}

#[tokio::test]
async fn each_login_and_each_failed_login_moves_its_counter_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    let logins = |page: &Page| {
        let of = |status| page.value(&format!("skriptoteket_logins_total{{status=\"{status}\"}}"));
        (of("success"), of("failure"))
    };
    assert_eq!(logins(&service.page().await), (0.0, 0.0));
    for n in 1..=3_u8 {
        let answer = service.login(&client(), "admin", PASSWORD).await;
        assert_eq!(answer.status(), 200);
        let answer = service.login(&client(), "admin", "wrong").await;
        assert_eq!(answer.status(), 401);
        assert_eq!(logins(&service.page().await), (f64::from(n), f64::from(n)));
    }
}

#[tokio::test]
async fn users_are_counted_once_however_many_sessions_they_have() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    let admin = service.admin().await;
    service
        .add_users(&admin, &[("ada", "contributor"), ("eve", "contributor")])
        .await;
    for name in ["ada", "ada", "ada", "eve"] {
        assert_eq!(service.login(&client(), name, PASSWORD).await.status(), 200);
    }
    let page = service
        .page_where("five sessions", |page| {
            page.get("skriptoteket_active_sessions") == Some(5.0)
        })
        .await;
    let of =
        |name: &str, role: &str| page.value(&format!("skriptoteket_{name}{{role=\"{role}\"}}"));
    assert_eq!(of("users_by_role", "contributor"), 2.0);
    assert_eq!(of("sessions_by_role", "contributor"), 4.0);
    assert_eq!(of("users_by_role", "superuser"), 1.0);
    assert_eq!(of("users_by_role", "user"), 0.0);
}

#[tokio::test]
async fn values_return_to_zero_after_expiry_without_traffic() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[("session_idle_timeout", "2s")]).await;
    for _ in 0..3 {
        assert_eq!(
            service.login(&client(), "admin", PASSWORD).await.status(),
            200
        );
    }
    service
        .page_where("three sessions", |page| {
            page.get("skriptoteket_active_sessions") == Some(3.0)
        })
        .await;
    let page = service
        .page_where("none", |page| {
            let ended = "skriptoteket_sessions_ended_total{role=\"superuser\",reason=\"idle\"}";
            page.get("skriptoteket_active_sessions") == Some(0.0) && page.get(ended) == Some(3.0)
        })
        .await;
    for role in ROLES {
        assert_eq!(
            page.value(&format!("skriptoteket_users_by_role{{role=\"{role}\"}}")),
            0.0
        );
        assert_eq!(page.started_less_ended(role), 0.0);
    }
}

#[tokio::test]
async fn the_management_listener_asks_for_its_token_and_the_public_one_has_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let token = "scrape-token-of-the-test";
    let service = Service::start(dir.path(), &[("metrics_token", token)]).await;
    let http = client();
    let metrics = service.management("/metrics");
    assert_eq!(http.get(&metrics).send().await.unwrap().status(), 401);
    assert_eq!(
        http.get(&metrics)
            .bearer_auth("wrong")
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    assert_eq!(
        http.get(&metrics)
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        http.get(service.management("/livez"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(
            http.get(service.url(path)).send().await.unwrap().status(),
            404,
            "{path}"
        );
    }
    assert!(!service.output().contains(token));
}
