//! Connection handling: slow clients, silent clients, and more clients than file descriptors.

use std::{path::Path, sync::Arc};

use skriptoteket_testing::{http::plain, service::Service};

use crate::service::raw::Raw;

/// Timeouts short enough for a test to wait for them.
const SHORT: [(&str, &str); 3] = [
    ("request_head_timeout", "300ms"),
    ("request_body_timeout", "600ms"),
    ("keep_alive", "60s"),
];

const KEYS: &str = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n";

/// Runs blocking code on a separate thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn short_lived(dir: &Path) -> Service {
    Service::start(dir, &SHORT).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_every_request_of_a_connection_has_to_arrive_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let service = short_lived(dir.path()).await;
    for port in [service.port(), service.management_port()] {
        for before in 0..4 {
            for (slow, drop) in [
                ("GET / HTTP/1.1\r\nHost: x\r\nX: ", "y"),
                ("\r\n", "\r\n"),
                ("G", ""),
            ] {
                blocking(move || {
                    let mut raw = Raw::connect(port);
                    for _ in 0..before {
                        raw.send(KEYS).answer();
                    }
                    raw.send(slow).drip_until_closed(drop.as_bytes());
                    raw.came().unwrap().expect_last_problem(408);
                    assert!(raw.came().is_none());
                })
                .await;
            }
        }
    }
    let port = service.port();
    blocking(move || {
        let mut silent = Raw::connect(port);
        silent.wait_until_closed();
        silent.came().unwrap().expect_last_problem(408);
        // The head of the next request comes in two pieces, and in time.
        let mut raw = Raw::connect(port);
        let (one, two) = KEYS.split_at(20);
        for _ in 0..3 {
            raw.send(one);
            assert!(raw.is_open());
            assert_eq!(raw.send(two).answer().status, 200);
        }
    })
    .await;
    let page = service.page().await;
    let slow = page.sum(
        "http_server_request_duration_seconds_count",
        r#"status_code="408""#,
    );
    assert_eq!(slow, 13.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_nobody_reads_holds_no_connection() {
    let dir = tempfile::tempdir().unwrap();
    let service = short_lived(dir.path()).await;
    let port = service.port();
    for (request, framing) in [
        (
            "POST /api/logout",
            "Transfer-Encoding: chunked\r\n\r\nffffff\r\n",
        ),
        (
            "GET /api/session",
            "Transfer-Encoding: chunked\r\n\r\nffffff\r\n",
        ),
        (
            "GET /api/session",
            "Transfer-Encoding: chunked\r\n\r\n1;x=y\r\nz\r\n0\r\nTrailer: ",
        ),
        ("GET /nowhere", "Transfer-Encoding: chunked\r\n\r\n"),
        ("POST /api/logout", "Content-Length: 1000000\r\n\r\n"),
        (
            "POST /api/services/x/heartbeat",
            "Content-Length: 10\r\n\r\n",
        ),
        (
            "GET /api/session",
            "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        ("CONNECT x:1", "\r\n"),
    ] {
        for drop in ["x", ""] {
            blocking(move || {
                let mut raw = Raw::connect(port);
                raw.send(format!("{request} HTTP/1.1\r\nHost: x\r\n{framing}"));
                let answer = raw.answer();
                assert_eq!(
                    answer.header("connection"),
                    Some("close"),
                    "{request} {framing:?} {answer:?}"
                );
                raw.drip_until_closed(drop.as_bytes());
            })
            .await;
        }
    }
    // A body that has arrived completely is skipped, and the connection stays open.
    blocking(move || {
        let mut raw = Raw::connect(port);
        for body in [
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "Content-Length: 0\r\n\r\n",
        ] {
            raw.send(format!(
                "POST /api/logout HTTP/1.1\r\nHost: x\r\n{body}{KEYS}"
            ));
            assert_eq!(raw.answer().status, 204);
            assert_eq!(raw.answer().status, 200);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_a_handler_waits_for_is_answered_408_and_the_connection_closed() {
    let dir = tempfile::tempdir().unwrap();
    let service = short_lived(dir.path()).await;
    let port = service.port();
    for path in ["/api/login", "/oauth2/token"] {
        let media = if path == "/api/login" {
            "application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        for (framing, drop) in [
            ("Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
            ("Transfer-Encoding: chunked\r\n\r\nff\r\n", ""),
            ("Content-Length: 10000\r\n\r\n", " "),
        ] {
            blocking(move || {
                let mut raw = Raw::connect(port);
                raw.send(format!(
                    "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media}\r\n{framing}"
                ));
                raw.drip_until_closed(drop.as_bytes());
                let answer = raw.came().unwrap();
                assert_eq!(answer.status, 408, "{path} {framing:?} {answer:?}");
                assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
                assert!(raw.came().is_none());
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_its_answers_holds_no_connection() {
    let dir = tempfile::tempdir().unwrap();
    let service = short_lived(dir.path()).await;
    for (port, path) in [
        (service.port(), "/api/openapi.json"),
        (service.management_port(), "/metrics"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(20);
        blocking(move || Raw::connect(port).flood_until_closed(request.as_bytes())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_after_its_time_and_no_answer_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[("keep_alive", "200ms")]).await;
    let port = service.port();
    blocking(move || {
        let mut raw = Raw::connect(port);
        raw.send(KEYS).wait_until_closed();
        assert_eq!(raw.came().unwrap().status, 200);
        assert!(raw.came().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_request_get_a_problem_and_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    let filler = "x".repeat(70_000);
    let cases: Vec<(String, u16)> = vec![
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a b/c?\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".into(), 400),
        ("GET / HTTP/9.9\r\nHost: x\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n".into(), 400),
        ("\u{16}\u{3}\u{1} tls\r\n\r\n".into(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                .into(),
            400,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            400,
        ),
        (format!("GET /{filler} HTTP/1.1\r\nHost: x\r\n\r\n"), 414),
        (format!("GET /{filler}"), 414),
        (
            format!("GET / HTTP/1.1\r\nHost: x\r\n{filler}: y\r\n\r\n"),
            431,
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
                "a: b\r\n".repeat(200)
            ),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: x\r\ny: {filler}{filler}\r\n\r\n"),
            431,
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: x\r\ny: {}", filler.repeat(4)),
            431,
        ),
    ];
    let number = cases.len();
    let cases = Arc::new(cases);
    for port in [service.port(), service.management_port()] {
        let cases = Arc::clone(&cases);
        blocking(move || {
            for (bytes, status) in cases.iter() {
                // The same after valid requests, whose responses come first.
                for before in [0, 2] {
                    let mut raw = Raw::connect(port);
                    raw.send(KEYS.repeat(before)).send(bytes);
                    if before == 0 {
                        raw.end_of_sending();
                    }
                    for _ in 0..before {
                        assert!([200, 404, 421].contains(&raw.answer().status));
                    }
                    raw.answer().expect_last_problem(*status);
                    raw.wait_until_closed();
                    assert!(raw.came().is_none(), "{bytes:.60}");
                }
            }
        })
        .await;
    }
    let page = service.page().await;
    let other = page.sum(
        "http_server_request_duration_seconds_count",
        r#"method="_OTHER""#,
    );
    assert_eq!(other, 2.0 * f64::from(u32::try_from(number).unwrap()));
    let log = service.output();
    let told = log
        .lines()
        .filter(|line| line.contains("a request head was rejected"));
    assert_eq!(told.count(), 2, "once for each listener: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_by_http_1_0_without_a_length_has_no_body() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    let port = service.port();
    blocking(move || {
        for (request, status) in [
            (
                "POST /api/logout HTTP/1.0\r\nHost: x\r\nConnection: close\r\n\r\n",
                204,
            ),
            ("POST /api/logout HTTP/1.0\r\n\r\n", 204),
            ("POST /api/logout HTTP/1.0\n\n", 204),
            ("POST /api/services/orders/heartbeat HTTP/1.0\r\n\r\n", 401),
            (
                "POST /api/login HTTP/1.0\r\nContent-Type: application/json\r\n\r\n",
                400,
            ),
            ("DELETE /api/sessions HTTP/1.0\r\n\r\n", 401),
            ("GET /.well-known/jwks.json HTTP/1.0\r\n\r\n", 200),
        ] {
            let mut raw = Raw::connect(port);
            let answer = raw.send(request).answer();
            assert_eq!(answer.status, status, "{request} {answer:?}");
            raw.wait_until_closed();
        }
        // The bytes after such a head are the next request.
        let mut raw = Raw::connect(port);
        raw.send(format!(
            "POST /api/logout HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{KEYS}"
        ));
        assert_eq!((raw.answer().status, raw.answer().status), (204, 200));
    })
    .await;
    let series = r#"http_server_request_duration_seconds_count{http_request_method="POST",http_response_status_code="204",http_route="/api/logout",url_scheme="http"}"#;
    assert_eq!(service.page().await.value(series), 4.0);
}

/// Returns the number of files that a process has open.
fn open_files(service: &Service) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", service.id()))
        .unwrap()
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_files_keep_nobody_out() {
    const FILES: usize = 256;
    const CONNECTIONS: usize = 400;
    for (what, times) in [
        (
            "that are idle",
            [("request_head_timeout", "60s"), ("keep_alive", "10m")],
        ),
        (
            "that say nothing",
            [("request_head_timeout", "10m"), ("keep_alive", "10m")],
        ),
        (
            "that send a head slowly",
            [("request_head_timeout", "10m"), ("keep_alive", "10m")],
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let service = Service::start_with_files(dir.path(), &times, FILES, FILES).await;
        let port = service.port();
        let mut held: Vec<Raw> = blocking(move || {
            let open = |_| {
                let mut raw = Raw::connect(port);
                match what {
                    "that are idle" => drop(raw.send(KEYS).answer()),
                    "that send a head slowly" => drop(raw.send("GET / HTTP/1.1\r\nX: ")),
                    _ => {}
                }
                raw
            };
            (0..CONNECTIONS).map(open).collect()
        })
        .await;
        // Each of these opens a new connection.
        for _ in 0..20 {
            for path in ["/livez", "/readyz"] {
                let answer = plain().get(service.management(path)).send().await;
                assert_eq!(answer.unwrap().status(), 200, "{what}");
            }
            let answer = plain()
                .get(service.url("/.well-known/jwks.json"))
                .send()
                .await;
            assert_eq!(answer.unwrap().status(), 200, "{what}");
            assert!(open_files(&service) < FILES, "{what}");
        }
        let (open, held) = blocking(move || {
            let open = held.iter_mut().filter_map(|it| it.is_open().then_some(()));
            (open.count(), held)
        })
        .await;
        assert!((20..CONNECTIONS).contains(&open), "{what}: {open} are open");
        let log = service.output();
        assert!(!log.contains("Too many open files"), "{log}");
        assert!(
            log.contains("the maximum number of connections is open"),
            "{log}"
        );
        drop(held);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_soft_limit_of_files_is_raised_to_the_hard_one() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start_with_files(dir.path(), &[], 128, 512).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let numbers: Vec<&str> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["512", "512"]);
}
