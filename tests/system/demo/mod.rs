//! `skriptoteket demo` as a process, with its own service and against a running one.

mod cleaning;
mod harness;
mod redis;
mod unreachable;

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use serde_json::json;
use skriptoteket_testing::{process::send_signal, program::program};

use self::harness::{Harness, run_at};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.arg("demo").args(arguments).stdin(Stdio::null());
    command
}

fn own(arguments: &[&str]) -> Command {
    let free = [
        "--listen",
        "127.0.0.1:0",
        "--management-listen",
        "127.0.0.1:0",
    ];
    demo(&[&free[..], arguments].concat())
}

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(all).unwrap()
}

/// Reads the demo's standard output until a line contains this text. The rest is left to be read.
fn until_said(child: &mut Child, what: &str) -> BufReader<ChildStdout> {
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert!(
            stdout.read_line(&mut line).unwrap() > 0,
            "it ended by itself"
        );
    }
    stdout
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_demo_ends_in_time_and_the_metrics_say_what_it_did() {
    // Eight seconds show some of everything; more on a slow machine.
    let output = own(&["--duration", "20s", "--seed", "1"]).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines = text
        .lines()
        .filter(|line| line.contains("active_sessions "));
    // Every two seconds, or less often on a slow machine.
    assert!((3..=12).contains(&lines.count()), "{text}");
    assert!(
        text.contains("The metrics agree with the demo's counts."),
        "{text}"
    );
    for services_did in [
        "service authentications that succeeded",
        "service authentications that failed",
        "replaced secrets used",
        "requests over a limit",
    ] {
        let row = text.lines().find(|line| line.contains(services_did));
        let cells: Vec<&str> = row.unwrap().split(['│', '┆']).map(str::trim).collect();
        assert!(cells[2].parse::<u64>().unwrap() > 0, "{text}");
        assert_eq!(cells[2], cells[3], "{text}");
    }
    assert!(
        !text.contains("absent") && !text.contains("other clients"),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}'),
        "escape sequences without a terminal: {text:?}"
    );
    assert!(
        !text.contains("password "),
        "a secret in output that may be logged: {text}"
    );
}

#[test]
fn a_demo_without_end_is_stopped_by_a_signal_and_sums_up() {
    let mut child = own(&[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = until_said(&mut child, "active_sessions");
    send_signal(&child, "TERM");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(
        rest.contains("The metrics agree with the demo's counts."),
        "{rest}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_is_used_and_left_as_it_was() {
    let harness = Harness::open().await;
    let output = run_at(&harness, &harness.management, &["--duration", "6s"]).await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("The metrics agree with the demo's counts."),
        "{said}"
    );
    let users = harness.get("/api/admin/users").await;
    assert_eq!(users["users"].as_array().unwrap().len(), 1, "{users}");
    let services = harness.get("/api/admin/services").await;
    assert_eq!(services["services"], json!([]));
    let sessions = harness.get("/api/admin/sessions").await;
    let sessions = sessions["sessions"].as_array().unwrap();
    assert!(sessions.iter().all(|it| it["user"]["username"] == "ada"));
    harness.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_say_something_else_are_a_failure() {
    let (harness, other) = (Harness::open().await, Harness::open().await);
    let output = run_at(&harness, &other.management, &["--duration", "2s"]).await;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("NO") && said.contains("the metrics differ"),
        "{said}"
    );
    harness.close().await;
    other.close().await;
}

#[test]
fn a_target_needs_a_superuser() {
    let output = demo(&["--target", "http://127.0.0.1:1"]).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--superuser-password-file"), "{said}");
}
