//! A demo removes everything that it created, however it ends, and nothing else.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, Stdio},
};

use skriptoteket_testing::{files::names_in, process::send_signal};

use crate::demo::{
    demo,
    harness::{Harness, target},
    own, text, until_said,
};

/// Starts a demo with this temporary directory, and waits until it has traffic.
fn started_in(directory: &Path) -> Child {
    let mut child = own(&[])
        .env("TMPDIR", directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rest = until_said(&mut child, "active_sessions");
    std::thread::spawn(move || rest.read_to_end(&mut Vec::new()));
    child
}

fn clean_in(directory: &Path) -> String {
    let mut command: Command = demo(&["--clean"]);
    let output = command.env("TMPDIR", directory).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    text(&output)
}

#[test]
fn a_demo_that_is_told_to_stop_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    for signals in [
        &["INT"][..],
        &["TERM"],
        &["HUP", "TERM"],
        &["INT", "INT", "INT"],
    ] {
        let mut child = started_in(directory.path());
        assert_eq!(names_in(directory.path()).len(), 1);
        for signal in signals {
            send_signal(&child, signal);
        }
        child.wait().unwrap();
        let left = names_in(directory.path());
        assert!(left.is_empty(), "{signals:?}: {left:?}");
    }
}

#[test]
fn a_demo_whose_output_nobody_reads_any_more_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = own(&[])
        .env("TMPDIR", directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().code().is_some());
    assert!(names_in(directory.path()).is_empty());
}

#[test]
fn what_a_killed_demo_left_is_cleaned_away_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let others = directory.path().join("skriptoteket-demo-of-somebody");
    fs::create_dir(&others).unwrap();
    let mut killed = started_in(directory.path());
    send_signal(&killed, "KILL");
    killed.wait().unwrap();
    let mut running = started_in(directory.path());
    assert_eq!(names_in(directory.path()).len(), 3);

    assert_eq!(clean_in(directory.path()), "directories deleted: 1\n");
    assert_eq!(names_in(directory.path()).len(), 2);
    assert!(others.exists());
    assert_eq!(clean_in(directory.path()), "directories deleted: 0\n");

    send_signal(&running, "TERM");
    assert_eq!(running.wait().unwrap().code(), Some(0));
    assert_eq!(
        names_in(directory.path()),
        ["skriptoteket-demo-of-somebody"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_of_a_running_service_that_is_told_to_stop_deletes_what_it_made() {
    let harness = Harness::open().await;
    let file = harness.password_file();
    // A second signal skips the summary.
    for signals in [&["TERM"][..], &["INT", "INT"]] {
        let mut command = demo(&target(&harness.api, &file));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let ended = tokio::task::spawn_blocking(move || {
            let mut rest = until_said(&mut child, "logins");
            for signal in signals {
                send_signal(&child, signal);
            }
            rest.read_to_end(&mut Vec::new()).unwrap();
            child.wait().unwrap();
        });
        ended.await.unwrap();
        assert_eq!(harness.names().await, ["ada"], "{signals:?}");
    }
    harness.close().await;
}
