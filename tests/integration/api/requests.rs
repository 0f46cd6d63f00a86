//! Requests that must not reach a handler: malformed, oversized, of the wrong type, or to an unknown path.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;
use skriptoteket::accounts::Role;

use crate::api::support::{App, PASSWORD, spawn_app};

const JSON: &str = "application/json";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_must_be_json_and_say_so() {
    let app = spawn_app().await;
    app.add_user("ada", Role::User).await;
    let browser = app.browser();
    let text = json!({"username": "ada", "password": PASSWORD}).to_string();
    let sent = async |media: Option<&'static str>| {
        let request = browser.request("POST", "/api/login").body(text.clone());
        let request = match media {
            Some(media) => request.header("content-type", media),
            None => request,
        };
        browser.send(request).await.status.as_u16()
    };
    for media in [
        JSON,
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json; charset=utf8",
        "application/json; charset=UTF8; x=y",
    ] {
        assert_eq!(sent(Some(media)).await, 200, "{media}");
    }
    for media in [
        "text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=latin1",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/problem+json",
        "application",
        ";;;",
        "",
    ] {
        assert_eq!(sent(Some(media)).await, 415, "{media:?}");
    }
    assert_eq!(sent(None).await, 415);
    let packed = browser.request("POST", "/api/login").body(text.clone());
    let packed = packed
        .header("content-type", JSON)
        .header("content-encoding", "gzip");
    browser.send(packed).await.expect_status(415);
    for (coding, status) in [
        ("identity", 200),
        ("Identity", 200),
        ("", 200),
        ("identity, identity", 200),
        ("identity, br", 415),
        ("deflate", 415),
    ] {
        let request = browser.request("POST", "/api/login").body(text.clone());
        let request = request.header("content-type", JSON);
        let answer = browser
            .send(request.header("content-encoding", coding))
            .await;
        assert_eq!(answer.status, status, "{coding:?}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_at_most_16_kib_however_it_is_sent() {
    let app = spawn_app().await;
    let browser = app.browser();
    let of_length = |length: usize| {
        let frame = json!({"username": "", "password": "x"}).to_string().len();
        json!({"username": "a".repeat(length - frame), "password": "x"}).to_string()
    };
    for (length, status) in [(16 * 1024, 401), (16 * 1024 + 1, 413), (1024 * 1024, 413)] {
        let text = of_length(length);
        assert_eq!(text.len(), length);
        let request = browser
            .request("POST", "/api/login")
            .header("content-type", JSON);
        browser.send(request.body(text)).await.expect_status(status);
    }
    for (length, status) in [(16 * 1024, 401), (16 * 1024 + 1, 413), (64 * 1024, 413)] {
        let text = of_length(length);
        let chunk = |it: &[u8]| [format!("{:x}\r\n", it.len()).as_bytes(), it, b"\r\n"].concat();
        let chunks: Vec<u8> = text.as_bytes().chunks(1000).flat_map(chunk).collect();
        let request = [
            POST,
            b"transfer-encoding: chunked\r\n\r\n",
            &chunks,
            b"0\r\n\r\n",
        ]
        .concat();
        assert_eq!(raw(&app, request).await.0, status, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_or_lies_about_itself_is_a_client_error() {
    let app = spawn_app().await;
    for body in [
        &b"transfer-encoding: chunked\r\n\r\nZZ\r\n{}"[..],
        b"transfer-encoding: chunked\r\n\r\n-1\r\n{}",
        b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"transfer-encoding: gzip\r\n\r\n",
        b"content-length: -1\r\n\r\n",
        b"content-length: 99999999999999999999999\r\n\r\n",
        b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    ] {
        let (status, text) = raw(&app, [POST, body].concat()).await;
        let place = String::from_utf8_lossy(body);
        assert!((400..500).contains(&status), "{place:?}: {status} {text}");
    }
    assert_eq!((app.logins("success"), app.logins("failure")), (0, 0));
    app.browser().get("/api/session").await.expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_a_client_error_and_the_service_goes_on() {
    let app = spawn_app().await;
    let huge = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "y".repeat(200_000)
    );
    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: x\r\n\r\n",
        "GET\r\n\r\n",
        "\u{0}\u{1}\u{2}\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nbad\u{0}name: y\r\n\r\n",
        &huge,
    ] {
        let (status, text) = raw(&app, head.into()).await;
        assert!((400..500).contains(&status), "{head:.60?}: {status} {text}");
    }
    app.browser().get("/api/session").await.expect_status(401);
}

/// The head of a request with a JSON body, without the value of `Content-Length`.
const POST: &[u8] =
    b"POST /api/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";

/// Sends raw bytes and reads the first response.
async fn raw(app: &App, request: Vec<u8>) -> (u16, String) {
    let address = app.public.trim_start_matches("http://").to_owned();
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        // The service may respond and close the connection before it has read everything.
        let _ = stream.write_all(&request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let text = tokio::task::spawn_blocking(talk).await.unwrap();
    let status = text.split(' ').nth(1).and_then(|it| it.parse().ok());
    (status.unwrap_or_default(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_is_400_and_nothing_of_it_comes_back() {
    let app = spawn_app().await;
    let browser = app.browser();
    let deep = "[".repeat(8000);
    let deep_object = format!("{}1{}", "{\"a\":".repeat(2000), "}".repeat(2000));
    for body in [
        &b""[..],
        b"{",
        b"null",
        b"\"s3cret\"",
        b"{\"username\":\"ada\",\"password\":\"s3cret\"",
        b"{\"username\":\"ada\",\"password\":\"s3cret\",\"remember_me\":\"s3cret\"}",
        b"{\"username\":\"ada\",\"password\":\"s3cret\",\"password\":\"s3cret\"}",
        b"{\"username\":\"ada\",\"password\":\"s3cret\"} s3cret",
        b"{\"username\":\"\xff\xfe\",\"password\":\"s3cret\"}",
        b"\xff\xfes3cret",
        b"{\"username\":\"\\ud800\",\"password\":\"s3cret\"}",
        b"{\"username\":1e999,\"password\":\"s3cret\"}",
        b"\0\0\0\0",
        deep.as_bytes(),
        deep_object.as_bytes(),
    ] {
        let request = browser
            .request("POST", "/api/login")
            .header("content-type", JSON);
        let answer = browser.send(request.body(body.to_vec())).await;
        answer.expect_problem(400, "/problems/malformed-body");
        assert!(!answer.text.contains("s3cret"), "{}", answer.text);
        let detail = &answer.json()["detail"];
        assert!(
            detail.as_str().unwrap().contains("line 1, column"),
            "{detail}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_not_there_are_problems_too() {
    let app = spawn_app().await;
    let browser = app.browser();
    for path in [
        "/api",
        "/api/",
        "/api/login/",
        "/api/Login",
        "/api/../etc/passwd",
        "/api/%2e%2e/etc/passwd",
        "/api/session/%00",
        "/api//session",
        "/api/%ff%fe",
        "/favicon.ico",
    ] {
        browser.get(path).await.expect_problem(404, "about:blank");
    }
    for (method, path, allow) in [
        ("GET", "/api/login", "POST"),
        ("HEAD", "/api/login", "POST"),
        ("PUT", "/api/session", "GET, HEAD"),
        ("OPTIONS", "/api/sessions", "GET, HEAD, DELETE"),
        ("PURGE", "/api/admin/users/x", "PATCH, DELETE"),
        ("get", "/api/session", "GET, HEAD"),
    ] {
        let answer = browser.send(browser.request(method, path)).await;
        if method == "HEAD" {
            answer.expect_status(405);
        } else {
            answer.expect_problem(405, "about:blank");
        }
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_pattern_and_strange_ones_together() {
    let app = spawn_app().await;
    let browser = app.browser();
    let count = |method: &str, route: Option<&str>, status: &str| {
        let mut labels = vec![
            ("http.request.method", method),
            ("http.response.status_code", status),
            ("url.scheme", "http"),
        ];
        labels.extend(route.map(|route| ("http.route", route)));
        app.metrics
            .histogram_count("http.server.request.duration", &labels)
    };
    for id in ["a", "b", "c%20d"] {
        browser
            .delete(&format!("/api/sessions/{id}"))
            .await
            .expect_status(401);
    }
    for method in ["BREW", "POUR", "get"] {
        browser
            .send(browser.request(method, "/nowhere"))
            .await
            .expect_status(404);
    }
    browser
        .send(browser.request("PUT", "/api/session"))
        .await
        .expect_status(405);
    let secure = browser
        .request("GET", "/api/session")
        .header("x-forwarded-proto", "https");
    browser.send(secure).await.expect_status(401);
    assert_eq!(count("DELETE", Some("/api/sessions/{id}"), "401"), Some(3));
    assert_eq!(count("_OTHER", None, "404"), Some(3));
    assert_eq!(count("PUT", None, "405"), Some(1), "no route served it");
    let labels = [
        ("http.request.method", "GET"),
        ("http.response.status_code", "401"),
        ("http.route", "/api/session"),
        ("url.scheme", "https"),
    ];
    let https = app
        .metrics
        .histogram_count("http.server.request.duration", &labels);
    assert_eq!(https, Some(1));
}
