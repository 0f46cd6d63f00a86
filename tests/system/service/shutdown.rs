//! Shutdown: within the time limit, and requests in flight get their response.

use std::time::Instant;

use skriptoteket_testing::{
    http::client,
    service::{PASSWORD, STOP_LIMIT, Service},
    stores::raw,
    wait::wait_until,
};
use sqlx::Connection;
use tokio::task::JoinHandle;

type Login = JoinHandle<reqwest::Result<reqwest::Response>>;

fn log_in(service: &Service) -> Login {
    let url = service.url("/api/login");
    tokio::spawn(async move {
        let body = serde_json::json!({"username": "admin", "password": PASSWORD});
        client().post(url).json(&body).send().await
    })
}

async fn stops_in_time(signal: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path(), &[("store_timeout", "30s")]).await;
    // A login writes, and waits for this transaction.
    let mut other = raw(&dir.path().join("data/skriptoteket.db")).await;
    let hold = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let in_flight = log_in(&service);
    let posts = "http_server_active_requests{http_request_method=\"POST\",url_scheme=\"http\"}";
    service
        .page_where("it is in flight", |page| page.get(posts) == Some(1.0))
        .await;
    let started_at = Instant::now();
    service.signal(signal);
    hold.rollback().await.unwrap();
    let status = service.wait().await;
    let took = started_at.elapsed();
    assert!(status.success(), "{status}: {}", service.output());
    assert!(took < STOP_LIMIT, "it took {took:?}");
    let answer = in_flight
        .await
        .unwrap()
        .expect("the request in flight is answered");
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_in_time_and_answers_what_is_in_flight() {
    stops_in_time("TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_it_in_time_and_answers_what_is_in_flight() {
    stops_in_time("INT").await;
}

/// A terminal that closes, `systemctl reload`, logrotate.
#[tokio::test]
async fn sighup_ends_it_in_time_and_answers_what_is_in_flight() {
    stops_in_time("HUP").await;
}

#[tokio::test]
async fn sigquit_ends_it_in_time_and_answers_what_is_in_flight() {
    stops_in_time("QUIT").await;
}

#[tokio::test]
async fn signals_that_mean_nothing_here_do_not_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path(), &[]).await;
    // The kernel sends this signal for each write beyond the file size limit, including that of a log line: it is not
    // logged.
    service.signal("XFSZ");
    for signal in ["USR1", "USR2"] {
        service.signal(signal);
        let told = format!("SIG{signal}");
        wait_until(&told, || service.output().contains(&told));
    }
    assert_eq!(
        service.login(&client(), "admin", PASSWORD).await.status(),
        200
    );
    service.signal("TERM");
    assert!(service.wait().await.success());
    assert!(!service.output().contains("SIGXFSZ"));
}

#[tokio::test]
async fn an_idle_keep_alive_connection_does_not_hold_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path(), &[]).await;
    let http = client();
    let answer = http.get(service.url("/api/session")).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let started_at = Instant::now();
    service.signal("TERM");
    assert!(service.wait().await.success());
    assert!(
        started_at.elapsed() < STOP_LIMIT,
        "it took {:?}",
        started_at.elapsed()
    );
}
