//! `kill -9` during logins: the counts afterwards equal what is there.

use std::time::Duration;

use skriptoteket_testing::{
    http::{client, cookie_of, plain},
    service::{PASSWORD, Service},
};

const ROLES: [&str; 4] = ["user", "contributor", "admin", "superuser"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_amid_logins_gauges_equal_an_enumeration_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path(), &[("max_sessions_per_user", "1000")]).await;
    let admin = service.admin().await;
    let users = [
        ("ada", "user"),
        ("bea", "contributor"),
        ("cid", "admin"),
        ("dan", "user"),
    ];
    service.add_users(&admin, &users).await;
    for round in 1..=3 {
        let url = service.url("/api/login");
        let drivers = users.map(|(name, _)| {
            let url = url.clone();
            tokio::spawn(async move {
                let body = serde_json::json!({"username": name, "password": PASSWORD});
                let http = plain();
                // Until the process has ended.
                while http.post(&url).json(&body).send().await.is_ok() {}
            })
        });
        let before = service
            .page()
            .await
            .value("skriptoteket_logins_total{status=\"success\"}");
        service
            .page_where("logins under way", |page| {
                page.value("skriptoteket_logins_total{status=\"success\"}") >= before + 40.0
            })
            .await;
        service = service.kill_and_restart().await;
        for driver in drivers {
            driver.await.unwrap();
        }
        compare(&service, round).await;
    }
}

/// Logs in once more (cookies of earlier clients remain valid, this one is new) and compares.
async fn compare(service: &Service, round: u32) {
    let admin = service.admin().await;
    let sessions = service.enumerate(&admin).await;
    assert!(
        sessions.len() > 40,
        "round {round}: {} sessions",
        sessions.len()
    );
    let live = |role: &str| {
        let all = sessions.iter();
        all.filter(|it| it["user"]["role"] == role).count()
    };
    let total = f64::from(u32::try_from(sessions.len()).unwrap());
    let page = service
        .page_where("the gauge equals the enumeration", |page| {
            page.get("skriptoteket_active_sessions") == Some(total)
        })
        .await;
    for role in ROLES {
        let expected = f64::from(u32::try_from(live(role)).unwrap());
        let gauge = page.value(&format!("skriptoteket_sessions_by_role{{role=\"{role}\"}}"));
        assert_eq!(gauge, expected, "round {round}, {role}");
        assert_eq!(
            page.started_less_ended(role),
            expected,
            "round {round}, {role}: started − ended"
        );
        let users = page.value(&format!("skriptoteket_users_by_role{{role=\"{role}\"}}"));
        let mut names: Vec<_> = sessions
            .iter()
            .filter(|it| it["user"]["role"] == role)
            .map(|it| it["user"]["id"].as_str().unwrap())
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(
            users,
            f64::from(u32::try_from(names.len()).unwrap()),
            "round {round}, {role}"
        );
    }
}

#[tokio::test]
async fn a_cookie_survives_a_restart_and_the_store_stays_whole() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    let http = client();
    let answer = service.login(&http, "admin", PASSWORD).await;
    let pair = cookie_of(&answer);
    let service = service.kill_and_restart().await;
    let answer = plain()
        .get(service.url("/api/session"))
        .header("cookie", pair)
        .timeout(Duration::from_secs(5))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}
