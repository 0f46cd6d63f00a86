//! No user can be identified in what leaves the service.

use serde_json::json;
use skriptoteket_testing::{
    http::client,
    service::{PASSWORD, Service},
};

#[tokio::test]
async fn metrics_and_logs_name_no_user_address_password_or_cookie() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [("log", "debug"), ("log_format", "json")];
    let service = Service::start(dir.path(), &settings).await;
    let admin = service.admin().await;
    service
        .add_users(&admin, &[("lovelace", "user"), ("hypatia", "contributor")])
        .await;

    let mut secrets = vec![
        PASSWORD.to_owned(),
        "lovelace".into(),
        "hypatia".into(),
        "wrong-guess".into(),
    ];
    secrets.extend([
        "198.51.100.77".to_owned(),
        "nobody-we-know".into(),
        "hidden-agent".into(),
        "secret-path".into(),
    ]);
    let http = client();
    for (name, password) in [
        ("lovelace", PASSWORD),
        ("hypatia", "wrong-guess"),
        ("nobody-we-know", "wrong-guess"),
    ] {
        let answer = http
            .post(service.url("/api/login"))
            .header("x-forwarded-for", "198.51.100.77")
            .header("user-agent", "hidden-agent")
            .json(&json!({"username": name, "password": password}))
            .send()
            .await
            .unwrap();
        if let Some(cookie) = answer.headers().get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let value = cookie.split(['=', ';']).nth(1).unwrap();
            secrets.push(value.to_owned());
        }
    }
    for path in [
        "/api/session",
        "/api/sessions",
        "/api/secret-path?lovelace=hypatia",
    ] {
        http.get(service.url(path)).send().await.unwrap();
    }
    // A truncated cookie cannot be read. The log may mention that it was sent, but not its content.
    let cut = secrets.last().unwrap()[..40].to_owned();
    let header = format!("skriptoteket={cut}");
    http.get(service.url("/api/session"))
        .header("cookie", header)
        .send()
        .await
        .unwrap();
    secrets.push(cut);
    let change = json!({"current": "wrong-guess", "new": "another-fine-password-9"});
    http.post(service.url("/api/password"))
        .json(&change)
        .send()
        .await
        .unwrap();
    secrets.push("another-fine-password-9".into());

    let metrics = client()
        .get(service.management("/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let logs = service.output();
    assert!(logs.lines().count() > 5, "the logs are too short:\n{logs}");
    for secret in &secrets {
        assert!(
            !metrics.contains(secret.as_str()),
            "the metrics show {}",
            &secret[..6]
        );
        assert!(
            !logs.contains(secret.as_str()),
            "the logs show {}",
            &secret[..6]
        );
    }
}

#[tokio::test]
async fn a_session_id_from_a_list_is_no_cookie() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    let admin = service.admin().await;
    let sessions = service.enumerate(&admin).await;
    let id = sessions[0]["id"].as_str().unwrap();
    let answer = client()
        .get(service.url("/api/session"))
        .header("cookie", format!("skriptoteket={id}"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
}
