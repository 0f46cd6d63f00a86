//! Log messages at the start, and while a store cannot be used.

use std::process::Command;

use skriptoteket_testing::{
    http::{client, plain},
    redis::RedisServer,
    service::{PASSWORD, Service},
    wait::wait_until,
};

/// Returns the log lines that contain this text.
fn lines(service: &Service, text: &str) -> Vec<String> {
    let output = service.output();
    let found = output.lines().filter(|line| line.contains(text));
    found.map(str::to_owned).collect()
}

async fn ready(service: &Service) -> (u16, String) {
    let answer = plain()
        .get(service.management("/readyz"))
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Limits the file size of the service's process: a write beyond it fails, as on a full disk.
fn limit_files(service: &Service, bytes: &str) {
    let limited = Command::new("prlimit")
        .args([
            &format!("--fsize={bytes}:unlimited"),
            "--pid",
            &service.id().to_string(),
        ])
        .status()
        .unwrap();
    assert!(limited.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_grow_is_not_ready_and_the_log_says_why_once() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    assert_eq!(
        service.login(&client(), "admin", PASSWORD).await.status(),
        200
    );
    // The limit also applies to the log file: it must have room left, and the database none.
    let wal = dir.path().join("data/skriptoteket.db-wal");
    let size = std::fs::metadata(wal).unwrap().len();
    assert!(size > 65_536, "{size}");
    limit_files(&service, &size.to_string());
    for _ in 0..3 {
        assert_eq!(
            service.login(&client(), "admin", PASSWORD).await.status(),
            503
        );
        let (status, body) = ready(&service).await;
        assert_eq!(status, 503);
        assert!(
            body.contains("accounts: ") && body.contains("sessions: "),
            "{body}"
        );
        assert!(body.contains("disk"), "{body}");
    }
    let refused = lines(&service, "requests cannot be served now");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(
        refused[0].contains("WARN") && refused[0].contains("disk"),
        "{refused:?}"
    );
    // One for each store.
    let unready = lines(&service, "the service is not ready");
    assert_eq!(unready.len(), 2, "{unready:?}");

    limit_files(&service, "unlimited");
    assert_eq!(ready(&service).await.0, 200);
    assert_eq!(
        service.login(&client(), "admin", PASSWORD).await.status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_and_one_that_cannot_save_are_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let url = redis.url();
    let service = Service::start(dir.path(), &[("redis_url", url.as_str())]).await;
    let mut wire = redis.wire();
    wire.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    for _ in 0..5 {
        assert_eq!(
            service.login(&client(), "admin", PASSWORD).await.status(),
            503
        );
        assert_eq!(ready(&service).await.0, 503);
    }
    for text in ["requests cannot be served now", "the service is not ready"] {
        let told = lines(&service, text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("is full"), "{told:?}");
    }
    // Another cause is logged as another line.
    wire.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    // A directory takes the place of its file.
    std::fs::create_dir(redis.directory().join("dump.rdb")).unwrap();
    wire.ask(&["CONFIG", "SET", "save", "3600 1"]);
    wire.ask(&["BGSAVE"]);
    let refused = || redis.info("persistence", "rdb_last_bgsave_status") == "err";
    wait_until("it cannot save", refused);
    assert_eq!(
        service.login(&client(), "admin", PASSWORD).await.status(),
        503
    );
    assert_eq!(ready(&service).await.0, 503);
    for text in ["requests cannot be served now", "the service is not ready"] {
        let told = lines(&service, text);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].contains("cannot write to its disk"), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_says_what_to_do_next_and_what_runs_where() {
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let url = redis
        .url()
        .replace("redis://", "redis://:a-secret-of-redis@");
    redis
        .wire()
        .ask(&["CONFIG", "SET", "requirepass", "a-secret-of-redis"]);
    let settings = [
        ("redis_url", url.as_str()),
        // No superuser is created at the start.
        ("bootstrap_password", ""),
        ("trusted_proxies", "0.0.0.0/0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
    ];
    let service = Service::start(dir.path(), &settings).await;
    let told = lines(&service, "there is no account yet");
    assert_eq!(told.len(), 1, "{}", service.output());
    assert!(told[0].contains("skriptoteket user add NAME --role superuser"));
    assert_eq!(lines(&service, "0.0.0.0/0 lets clients choose").len(), 1);
    let started = lines(&service, "the service is listening");
    assert_eq!(started.len(), 1);
    let started: serde_json::Value = serde_json::from_str(&started[0]).unwrap();
    let data = dir
        .path()
        .join("data/skriptoteket.db")
        .display()
        .to_string();
    for (field, expected) in [
        ("version", env!("CARGO_PKG_VERSION")),
        (
            "public_url",
            &format!("http://127.0.0.1:{}/", service.port()),
        ),
        ("accounts", &data),
        (
            "sessions",
            &format!(
                "redis://127.0.0.1:{}/0, redis_key_prefix skriptoteket",
                redis.port()
            ),
        ),
        ("config", "none"),
        (
            "telemetry",
            "metrics, traces, logs by OTLP http/protobuf to http://127.0.0.1:9; /metrics",
        ),
    ] {
        assert_eq!(started[field], expected, "{started}");
    }
    assert!(!service.output().contains("a-secret-of-redis"));
}
