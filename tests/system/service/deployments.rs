//! Two accounts databases and one Redis: every server or command with the second database is rejected.

use std::{path::Path, process::Output};

use skriptoteket_testing::{
    http::client,
    program::command_in,
    redis::RedisServer,
    service::{PASSWORD, Service},
    wait::wait_until,
};

fn run(dir: &Path, redis_url: &str, arguments: &[&str]) -> Output {
    command_in(dir)
        .args(arguments)
        .env("SKRIPTOTEKET_LISTEN", "127.0.0.1:0")
        .env("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0")
        .env("SKRIPTOTEKET_BOOTSTRAP_PASSWORD", PASSWORD)
        .env("SKRIPTOTEKET_LOG", "error")
        .env("SKRIPTOTEKET_REDIS_URL", redis_url)
        .output()
        .unwrap()
}

fn assert_refused(output: &Output) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("another accounts database"), "{said}");
    assert!(said.contains("skriptoteket session reset"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_accounts_database_is_refused_until_the_keys_are_its_own() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let redis = RedisServer::start(&[]);
    let url = redis.url();
    let settings = [
        ("redis_url", url.as_str()),
        ("cookie_key", "one key of the cookie for both servers"),
    ];
    let mut service = Service::start(one.path(), &settings).await;
    let ada = client();
    assert_eq!(service.login(&ada, "admin", PASSWORD).await.status(), 200);

    // Another database, created without Redis. A server and all commands that use the sessions are rejected.
    std::fs::create_dir(other.path().join("data")).unwrap();
    std::fs::File::create(other.path().join("data/skriptoteket.db")).unwrap();
    for arguments in [
        &["serve"][..],
        &["session", "list"],
        &["session", "revoke", "--all"],
        &["user", "list"],
        &["session", "verify", "--repair"],
    ] {
        assert_refused(&run(other.path(), &url, arguments));
    }
    // The keys cannot be taken over while a server uses them.
    let taken = run(other.path(), &url, &["session", "reset"]);
    let said = String::from_utf8(taken.stderr).unwrap();
    assert_eq!(taken.status.code(), Some(2), "{said}");
    assert!(said.contains("a server is using the keys"), "{said}");
    assert_eq!(
        ada.get(service.url("/api/session"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );

    // The same after the first server has stopped: its sessions still exist.
    service.signal("TERM");
    assert!(service.wait().await.success());
    assert_refused(&run(other.path(), &url, &["serve"]));
    let taken = run(other.path(), &url, &["session", "reset"]);
    assert_eq!(taken.stdout, b"sessions ended: 1\n", "{taken:?}");
    // Both are in the audit trail: the row is written before the keys are taken over.
    let list = ["audit", "list", "--kind", "session_revoke", "--json"];
    let rows = run(other.path(), &url, &list).stdout;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&rows).unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row["outcome"].as_str().unwrap(), row["target"].as_str()))
        .collect();
    let all = Some("session:all");
    assert_eq!(told, [("success", all), ("conflict", all)]);
    let second = Service::start(other.path(), &settings).await;
    // The same for the signing key, which the service created itself.
    let list = [
        "audit",
        "list",
        "--kind",
        "key_rotate",
        "--actor",
        "system",
        "--json",
    ];
    let rows = run(other.path(), &url, &list).stdout;
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&rows).unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["outcome"], "success");
    assert!(rows[0]["target"].as_str().unwrap().starts_with("key:"));
    assert_eq!(
        ada.get(second.url("/api/session"))
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    assert_refused(&run(one.path(), &url, &["serve"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_moved_or_restored_is_the_same_deployment() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let redis = RedisServer::start(&[]);
    let url = redis.url();
    let settings = [("redis_url", url.as_str()), ("store_timeout", "5s")];
    let mut service = Service::start(old.path(), &settings).await;
    let ada = client();
    assert_eq!(service.login(&ada, "admin", PASSWORD).await.status(), 200);
    service.signal("TERM");
    assert!(service.wait().await.success());

    std::fs::create_dir(new.path().join("data")).unwrap();
    for file in ["skriptoteket.db", "cookie.key"] {
        std::fs::copy(
            old.path().join("data").join(file),
            new.path().join("data").join(file),
        )
        .unwrap();
    }
    let service = Service::start(new.path(), &settings).await;
    assert_eq!(
        ada.get(service.url("/api/session"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

/// Where Redis becomes available after the servers have started, the second of them does not serve from its keys
/// either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_wait_for_redis_are_kept_apart_when_it_comes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut redis = RedisServer::start(&[]);
    let url = redis.url();
    redis.kill();
    let settings = [("redis_url", url.as_str()), ("store_timeout", "5s")];
    let mut services = [
        Service::launched(one.path(), &settings),
        Service::launched(other.path(), &settings),
    ];
    for service in &services {
        wait_until("it listens", || {
            service.output().contains("the service is listening")
        });
    }
    redis.restart();
    wait_until("one is refused", || {
        services.iter().any(|it| {
            it.output()
                .contains("keeps the sessions of another accounts database")
        })
    });
    let mut logins = Vec::new();
    for service in &mut services {
        if !service.output().contains("of another accounts database") {
            service.wait_until_ready().await;
        }
        let is_refused = service.output().contains("of another accounts database");
        let status = service
            .login(&client(), "admin", PASSWORD)
            .await
            .status()
            .as_u16();
        assert_eq!(
            status,
            if is_refused { 503 } else { 200 },
            "{}",
            service.output()
        );
        logins.push(status);
    }
    logins.sort_unstable();
    assert_eq!(logins, [200, 503]);
}
