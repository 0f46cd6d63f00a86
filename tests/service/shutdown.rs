//! Stopping: in time, with what is in flight answered.

use std::time::{Duration, Instant};

use crate::process::{PASSWORD, Service, client};

async fn stops_in_time(signal: &str) {
    let dir = tempfile::tempdir().unwrap();
    // A password check that takes a while: it is in flight when the signal comes.
    let slow = [("argon2_memory_kib", "19456"), ("argon2_iterations", "8")];
    let mut service = Service::start(dir.path(), &slow).await;
    let url = service.url("/api/login");
    let in_flight = tokio::spawn(async move {
        let body = serde_json::json!({"username": "admin", "password": PASSWORD});
        client().post(url).json(&body).send().await
    });
    service
        .page_where("a request in flight", |page| {
            let posts =
                "http_server_active_requests{http_request_method=\"POST\",url_scheme=\"http\"}";
            page.get(posts) == Some(1.0)
        })
        .await;
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
