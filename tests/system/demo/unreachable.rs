//! A service that does not respond, or no longer responds. `--give-up-after` shortens the default of half a minute.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Output, Stdio},
    thread,
};

use skriptoteket_testing::{certificates::Certificates, ports::free_port, redis::RedisServer};

use crate::demo::{
    demo,
    harness::{Harness, target},
    text, until_said,
};

/// Runs a demo against this URL with a short time limit.
fn at(url: &str) -> Output {
    let harness = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(harness.path(), "tundra-lantern-quarry-41").unwrap();
    let soon = ["--give-up-after", "2s"];
    let arguments = [&target(url, harness.path())[..], &soon].concat();
    demo(&arguments).output().unwrap()
}

/// Asserts that the demo reports the address, the cause and the remedy, and that it reports its wait before that.
fn is_told(url: &str, why: &str, advice: &str) {
    let output = at(url);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let (progress, error) = stderr.trim_end().rsplit_once('\n').unwrap_or(("", &stderr));
    let begins = format!("error: {url}/: no answer for 2 s: ");
    assert!(error.starts_with(&begins), "{said}");
    assert!(error.contains(why) && error.contains(advice), "{said}");
    // If the first attempt takes all the time, there is no report before the error.
    if !why.contains("timeout") {
        let waits = format!("note: {url}/: no answer for 0 s, giving up after 2 s: ");
        assert!(progress.starts_with(&waits), "{said}");
    }
}

#[test]
fn a_target_where_nobody_listens_is_said_to_refuse_connections() {
    let url = format!("http://127.0.0.1:{}", free_port());
    is_told(&url, "connection refused", "check host and port");
}

#[test]
fn a_name_that_is_not_resolved_is_said_to_be_none() {
    // No label of a host name may be that long, so no resolver is queried.
    let url = format!("http://{}.invalid:8080", "a".repeat(64));
    is_told(
        &url,
        "the host name is not resolved (DNS",
        "check its spelling",
    );
}

#[test]
fn a_target_that_accepts_and_is_silent_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    is_told(&url, "timeout: it does not answer in time", "firewalls");
}

#[test]
fn a_certificate_of_an_authority_that_is_not_trusted_is_told() {
    let certificates = Certificates::create();
    let port = free_port();
    let arguments = certificates.arguments(port);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Any server that speaks TLS will do.
    let _server = RedisServer::start(&arguments);
    let url = format!("https://127.0.0.1:{port}");
    is_told(
        &url,
        "TLS: the certificate is not accepted",
        "SSL_CERT_FILE",
    );
    let url = format!("http://127.0.0.1:{port}");
    is_told(&url, "no answer in HTTP", "https://");
}

#[test]
fn a_service_without_tls_is_told_to_have_none() {
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    thread::spawn(move || {
        for stream in plain.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    is_told(&url, "TLS: no handshake", "http://");
}

#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    for (argument, url) in [
        ("--target", "http://ada:planted-secret@127.0.0.1:1"),
        ("--target", "ftp://:planted-secret@127.0.0.1:1"),
        ("--management-target", "http://:planted-secret@127.0.0.1:1"),
    ] {
        let output = demo(&[argument, url]).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(argument), "{said}");
        assert!(!said.contains("planted-secret"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_goes_away_is_given_up_and_what_is_left_there_can_be_cleaned_away() {
    let harness = Harness::open().await;
    let file = harness.password_file();
    harness.add_user("demo-ada").await;
    harness.add_user("demo-00000000-ada").await;
    harness
        .add_service("demo-00000000-billing", "Demo: mine")
        .await;
    let before = harness.names().await;

    let soon = ["--give-up-after", "2s"];
    let mut command = demo(&[&target(&harness.api, &file)[..], &soon].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (child, reading) = tokio::task::spawn_blocking(move || {
        let mut rest = until_said(&mut child, "logins");
        (
            child,
            thread::spawn(move || rest.read_to_end(&mut Vec::new())),
        )
    })
    .await
    .unwrap();
    assert!(harness.names().await.len() > before.len());
    let address = harness.api.replace("http://", "");
    let dir = harness.close().await;
    let output = tokio::task::spawn_blocking(move || {
        let output = child.wait_with_output().unwrap();
        reading.join().unwrap().unwrap();
        output
    })
    .await
    .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(": no answer for 2 s: connection refused"),
        "{said}"
    );
    assert!(said.contains("`skriptoteket demo --clean`"), "{said}");

    let harness = Harness::open_in(dir, &address).await;
    assert!(harness.names().await.len() > before.len());
    let arguments = [&target(&harness.api, &file)[..], &["--clean"]].concat();
    let mut command = demo(&arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("accounts and services deleted: 43\n"),
        "{said}"
    );
    assert_eq!(harness.names().await, before);
    harness.close().await;
}
