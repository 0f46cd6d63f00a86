//! The demo with its own service, whose sessions are in Redis.

use std::process::Stdio;

use skriptoteket_testing::{
    ports::free_port, process::send_signal, redis::RedisServer, wait::wait_until,
};

use crate::demo::{demo, own, text, until_said};

/// Keys that do not belong to a demo.
const OTHERS: [&str; 3] = [
    "{skriptoteket:observer}:deployment",
    "{skriptoteket-demo-00000000:00}:z",
    "skriptoteket-demo-of-somebody",
];

#[test]
fn sessions_are_in_the_redis_while_it_runs_and_nothing_is_afterwards() {
    let server = RedisServer::start(&["--requirepass", "planted-secret"]);
    let mut wire = server.wire();
    wire.ask(&["AUTH", "planted-secret"]);
    for key in OTHERS {
        wire.ask(&["SET", key, "1"]);
    }
    let url = format!("redis://:planted-secret@127.0.0.1:{}", server.port());
    let mut child = own(&["--redis", &url, "--duration", "6s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("there are sessions in the Redis", || {
        !wire.scan("{skriptoteket-demo-*:s:*").is_empty()
    });
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut said).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = said + &text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("The metrics agree with the demo's counts."),
        "{said}"
    );
    let place = format!(
        "sessions   redis://127.0.0.1:{}/0, redis_key_prefix skriptoteket-demo-",
        server.port()
    );
    assert!(said.contains(&place), "{said}");
    assert!(!said.contains("planted-secret"), "{said}");
    let mut left = wire.scan("*");
    left.sort();
    let mut others = OTHERS.map(String::from);
    others.sort();
    assert_eq!(left, others);
}

#[test]
fn what_a_killed_demo_left_in_a_redis_is_cleaned_away_and_nothing_else() {
    let server = RedisServer::start(&[]);
    let mut wire = server.wire();
    for key in OTHERS {
        wire.ask(&["SET", key, "1"]);
    }
    let mut child = own(&["--redis", &server.url()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _rest = until_said(&mut child, "active_sessions");
    let clean = || {
        let output = demo(&["--clean", "--redis", &server.url()])
            .output()
            .unwrap();
        (output.status.code(), text(&output))
    };
    let (code, said) = clean();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("a demo that is running"), "{said}");
    send_signal(&child, "KILL");
    child.wait().unwrap();

    // The leases would otherwise expire within 20 s.
    for lease in wire.scan("*:observer}:lease") {
        wire.ask(&["DEL", &lease]);
    }
    assert!(wire.scan("*").len() > OTHERS.len());
    let (code, said) = clean();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("keys in Redis deleted: "), "{said}");
    let mut left = wire.scan("*");
    left.sort();
    let mut others = OTHERS.map(String::from);
    others.sort();
    assert_eq!(left, others);
}

#[test]
fn a_password_in_a_file_is_that_of_the_redis() {
    let server = RedisServer::start(&["--requirepass", "planted-secret"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "planted-secret").unwrap();
    let path = crate::demo::path(file.path());
    let url = server.url();
    let arguments = [
        "--redis",
        &url,
        "--redis-password-file",
        path,
        "--duration",
        "1s",
    ];
    let output = own(&arguments).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("planted-secret"), "{said}");
}

#[test]
fn a_redis_that_cannot_be_had_is_told_without_its_password() {
    let port = free_port();
    let away = format!("redis://:planted-secret@127.0.0.1:{port}");
    let output = own(&["--redis", &away]).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
    assert!(!said.contains("planted-secret"), "{said}");

    let server = RedisServer::start(&["--requirepass", "another"]);
    let wrong = format!("redis://:planted-secret@127.0.0.1:{}", server.port());
    let target = ["--target", "http://127.0.0.1:1", "--superuser", "ada"];
    let target = [&target[..], &["--superuser-password-file", "x"]].concat();
    for arguments in [
        vec!["--redis", &wrong],
        vec!["--redis", "http://:planted-secret@127.0.0.1"],
        vec!["--redis", "redis://:planted-secret@127.0.0.1:99999"],
        [&["--redis", &wrong][..], &target].concat(),
        [&["--redis", &wrong, "--redis", &wrong][..], &target].concat(),
        vec!["--clean", "--redis", &wrong],
    ] {
        let output = demo(&arguments).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("edis"), "{said}");
        assert!(!said.contains("planted-secret"), "{said}");
    }
}
