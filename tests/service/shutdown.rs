//! Stopping: in time, with what is in flight answered.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::process::{PASSWORD, Service, client};

type Login = JoinHandle<reqwest::Result<reqwest::Response>>;

fn log_in(service: &Service) -> Login {
    let url = service.url("/api/login");
    tokio::spawn(async move {
        let body = serde_json::json!({"username": "admin", "password": PASSWORD});
        client().post(url).json(&body).send().await
    })
}

/// Whether the metrics show the login in flight before it is answered.
async fn is_seen_in_flight(service: &Service, login: &Login) -> bool {
    let posts = "http_server_active_requests{http_request_method=\"POST\",url_scheme=\"http\"}";
    while !login.is_finished() {
        if service.page().await.get(posts) == Some(1.0) && !login.is_finished() {
            return true;
        }
    }
    false
}

async fn stops_in_time(signal: &str) {
    let dir = tempfile::tempdir().unwrap();
    // A password check that takes a while: it is in flight when the signal comes.
    let slow = [("argon2_memory_kib", "19456"), ("argon2_iterations", "16")];
    let mut service = Service::start(dir.path(), &slow).await;
    let in_flight = loop {
        let login = log_in(&service);
        if is_seen_in_flight(&service, &login).await {
            break login;
        }
        // It was answered between two looks: on a busy machine that happens.
        assert_eq!(login.await.unwrap().unwrap().status(), 200);
    };
    let begun = Instant::now();
    service.signal(signal);
    let status = service.wait().await;
    let took = begun.elapsed();
    assert!(status.success(), "{status}: {}", service.output());
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    let answer = in_flight
        .await
        .unwrap()
        .expect("the request in flight is answered");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn sigterm_ends_it_in_time_and_answers_what_is_in_flight() {
    stops_in_time("TERM").await;
}

#[tokio::test]
async fn ctrl_c_ends_it_in_time_and_answers_what_is_in_flight() {
    stops_in_time("INT").await;
}

#[tokio::test]
async fn an_idle_keep_alive_connection_does_not_hold_it_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start(dir.path(), &[]).await;
    let http = client();
    let answer = http.get(service.url("/api/session")).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let begun = Instant::now();
    service.signal("TERM");
    assert!(service.wait().await.success());
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "it took {:?}",
        begun.elapsed()
    );
}
