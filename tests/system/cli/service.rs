//! `serve` and `healthcheck`, with other commands running at the same time.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::{Child, ChildStderr},
    thread,
    time::Duration,
};

use serde_json::Value;
use skriptoteket::clock::{Clock, SystemClock};
use skriptoteket_testing::{
    files::names_in, http::client, process::send_signal, service::PASSWORD, stores::raw,
};
use sqlx::{Executor, SqliteConnection};

use crate::cli::harness::Harness;

/// Creates a harness whose service uses two free ports.
fn harness() -> Harness {
    Harness::new()
        .with("SKRIPTOTEKET_LISTEN", "127.0.0.1:0")
        .with("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0")
}

/// A service that runs until it is stopped; killed if the test fails.
struct Serving {
    child: Child,
    log: BufReader<ChildStderr>,
    public: String,
    management: String,
}

impl Serving {
    /// Starts `serve` and waits until it reports that it is ready.
    fn start(harness: &Harness) -> Self {
        let mut child = harness.start(&["serve"]);
        let log = BufReader::new(child.stderr.take().unwrap());
        let (public, management) = (String::new(), String::new());
        let mut serving = Self {
            child,
            log,
            public,
            management,
        };
        let mut line = String::new();
        while serving.public.is_empty() {
            line.clear();
            assert_ne!(
                serving.log.read_line(&mut line).unwrap(),
                0,
                "the service ended"
            );
            // Log lines are JSON without a terminal.
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["message"] == "the service is listening" {
                event["listen"]
                    .as_str()
                    .unwrap()
                    .clone_into(&mut serving.public);
                event["management"]
                    .as_str()
                    .unwrap()
                    .clone_into(&mut serving.management);
            }
        }
        serving
    }

    /// Sends a signal; returns the exit code and the rest of the log.
    fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        send_signal(&self.child, signal);
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // After `stop` no process is left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stop_by_either_signal_is_a_success() {
    for signal in ["INT", "TERM"] {
        let harness = harness();
        let serving = Serving::start(&harness);
        let harness = harness.with("SKRIPTOTEKET_MANAGEMENT_LISTEN", &serving.management);
        assert_eq!(harness.done(&["healthcheck"]), "ready\n");
        let (code, log) = serving.stop(signal);
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("the service has stopped"), "{log}");
        harness.refused(&["healthcheck"], 1);
    }
}

#[tokio::test]
async fn commands_work_beside_the_running_service() {
    let harness = harness();
    let serving = Serving::start(&harness);
    let browser = client();
    let origin = format!("http://{}", serving.public);
    harness.add("ada", "superuser");
    let body = serde_json::json!({"username": "ada", "password": PASSWORD});
    let answer = browser
        .post(format!("{origin}/api/login"))
        .json(&body)
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 200);
    let listed = harness.json(&["session", "list"]);
    assert_eq!(listed.len(), 1);
    assert_eq!(
        harness.done(&["session", "revoke", "--user", "ada"]),
        "sessions ended: 1\n"
    );
    let mut status = 200;
    for _ in 0..600 {
        let answer = browser
            .get(format!("{origin}/api/session"))
            .send()
            .await
            .unwrap();
        status = answer.status().as_u16();
        if status == 401 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, 401, "a revoked session is rejected soon");
    let (code, _) = serving.stop("TERM");
    assert_eq!(code, Some(0));
    let mut attempts = harness.json(&["audit", "list", "--kind", "login"]);
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts.remove(0)["username"], "ada");
}

/// Returns the status of a token request.
async fn token_status(origin: &str, secret: &str) -> u16 {
    let request = client().post(format!("{origin}/oauth2/token"));
    let request = request
        .basic_auth("inventory", Some(secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials");
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_running_service_sees_what_is_done_to_services() {
    let harness = harness();
    let serving = Serving::start(&harness);
    let origin = format!("http://{}", serving.public);
    let secret = |printed: String| {
        let printed: Value = serde_json::from_str(&printed).unwrap();
        printed["client_secret"].as_str().unwrap().to_owned()
    };
    // Within a second on an idle machine: `make bench` measures it.
    let soon = async |secret: &str, expected: u16| {
        let clock = SystemClock::default();
        let mut status = token_status(&origin, secret).await;
        while status != expected && clock.monotonic() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            status = token_status(&origin, secret).await;
        }
        assert_eq!(status, expected);
    };
    assert_eq!(token_status(&origin, "sks_none").await, 401);
    let first = secret(harness.done(&["service", "register", "inventory", "--json"]));
    soon(&first, 200).await;
    harness.done(&["service", "disable", "inventory"]);
    soon(&first, 401).await;
    harness.done(&["service", "enable", "inventory"]);
    soon(&first, 200).await;
    let rotate = [
        "service",
        "rotate",
        "inventory",
        "--overlap",
        "0s",
        "--json",
    ];
    let second = secret(harness.done(&rotate));
    soon(&second, 200).await;
    soon(&first, 401).await;
    harness.done(&["key", "rotate", "--soon"]);
    assert_eq!(token_status(&origin, &second).await, 200);
    harness.done(&["service", "delete", "inventory"]);
    soon(&second, 401).await;
    let listed = harness.json(&["key", "list"]);
    assert_eq!(listed.len(), 2, "{listed:?}");
}

#[test]
fn a_second_service_on_the_same_data_is_refused() {
    let harness = harness();
    let _first = Serving::start(&harness);
    let complaint = harness.run(&["serve"]);
    assert_eq!(complaint.code, 1, "{complaint:?}");
    let last = complaint.stderr.lines().next_back().unwrap();
    assert!(last.starts_with("error: data_dir = "), "{complaint:?}");
    assert!(last.contains("another server is running"), "{complaint:?}");
}

#[test]
fn a_first_superuser_is_made_from_a_password_file() {
    let harness = harness();
    harness.write("first.password", &format!("{PASSWORD}\n"));
    let harness = harness.with("SKRIPTOTEKET_BOOTSTRAP_PASSWORD_FILE", "first.password");
    Serving::start(&harness).stop("TERM");
    let listed = harness.json(&["user", "list"]);
    assert_eq!(
        (&listed[0]["username"], &listed[0]["role"]),
        (&"admin".into(), &"superuser".into())
    );
}

#[test]
fn a_service_that_is_not_ready_is_said_to_be_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let harness = Harness::new().with("SKRIPTOTEKET_MANAGEMENT_LISTEN", &address);
    let unready = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 20\r\n\r\nthe store\nis away\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        request
    });
    let complaint = harness.refused(&["healthcheck"], 1);
    assert_eq!(unready.join().unwrap(), "GET /readyz HTTP/1.1\r\n");
    assert!(
        complaint.starts_with("error: the service is not ready: "),
        "{complaint}"
    );
    assert!(
        complaint.contains("503") && complaint.contains("the store is away"),
        "{complaint}"
    );
}

#[test]
fn a_service_that_does_not_answer_is_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The backlog accepts the connection, and no response is sent.
    let harness = Harness::new().with("SKRIPTOTEKET_MANAGEMENT_LISTEN", &address);
    let complaint = harness.refused(&["healthcheck"], 1);
    assert!(
        complaint.starts_with("error: no answer from http://127.0.0.1:"),
        "{complaint}"
    );
    let harness = Harness::new().with("SKRIPTOTEKET_MANAGEMENT_LISTEN", "127.0.0.1:0");
    let complaint = harness.refused(&["healthcheck"], 1);
    assert!(complaint.contains("port 0"), "{complaint}");
}

#[test]
fn where_no_database_is_none_is_made_but_by_adding_a_user_or_a_service() {
    let harness = Harness::new();
    for arguments in [
        &["user", "list"][..],
        &["user", "disable", "ada"],
        &["session", "list"],
        &["session", "revoke", "--all"],
        &["audit", "list"],
        &["service", "list"],
        &["service", "rotate", "inventory"],
        &["key", "rotate"],
    ] {
        let complaint = harness.refused(arguments, 1);
        assert!(
            complaint.starts_with("error: there is no database skriptoteket-data/skriptoteket.db"),
            "{complaint}"
        );
        for maker in ["`skriptoteket user add`", "`skriptoteket service register`"] {
            assert!(complaint.contains(maker), "{complaint}");
        }
        assert!(names_in(&harness.path("")).is_empty());
    }
    harness.add("ada", "superuser");
    harness.done(&["user", "list"]);
}

#[test]
fn whoever_makes_a_store_is_told_where() {
    let harness = Harness::new();
    let made = harness.run(&["service", "register", "inventory", "--json"]);
    let place = harness.path("skriptoteket-data/skriptoteket.db");
    let note = format!("note: created a new store at {}\n", place.display());
    assert_eq!((made.code, made.stderr), (0, note));
    let added = harness.run(&["service", "register", "billing"]);
    assert_eq!((added.code, added.stderr), (0, String::new()));
}

/// Holds the write lock of the harness's database until it is dropped.
async fn lock(harness: &Harness) -> SqliteConnection {
    let mut connection = raw(&harness.path("skriptoteket-data/skriptoteket.db")).await;
    connection.execute("BEGIN IMMEDIATE").await.unwrap();
    connection
}

/// Longer than a stop takes on a busy machine. The store timeout of the harness is longer still.
const STOP_LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_store_that_is_locked_does_not_hold_up_a_stop_during_the_start() {
    let harness = harness();
    harness.add("ada", "superuser");
    let _lock = lock(&harness).await;
    let mut child = harness.start(&["serve"]);
    // It has bound its ports and locked its directory, and now waits for the write lock.
    let locked = harness.path("skriptoteket-data/server.lock");
    while !locked.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let clock = SystemClock::default();
    send_signal(&child, "TERM");
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(clock.monotonic() < STOP_LIMIT, "{:?}", clock.monotonic());
}

#[tokio::test]
async fn a_store_that_is_locked_does_not_hold_up_a_stop() {
    let harness = harness();
    harness.add("ada", "superuser");
    let serving = Serving::start(&harness);
    let _lock = lock(&harness).await;
    // An attempt whose audit event cannot be written.
    let url = format!("http://{}/api/login", serving.public);
    let body = serde_json::json!({"username": "ada", "password": "wrong-guess"});
    let request = client().post(url).json(&body).send();
    let attempt = tokio::time::timeout(Duration::from_millis(200), request).await;
    assert!(attempt.is_err(), "the attempt did not wait for the store");
    let clock = SystemClock::default();
    let (code, log) = serving.stop("TERM");
    assert_eq!(code, Some(0), "{log}");
    assert!(clock.monotonic() < STOP_LIMIT, "{:?}", clock.monotonic());
}

#[test]
fn a_store_that_cannot_be_opened_is_named() {
    let harness = Harness::new();
    harness.write("skriptoteket-data", "a file where a directory should be");
    let complaint = harness.refused(&["user", "list"], 1);
    assert!(complaint.contains("skriptoteket-data"), "{complaint}");
    let harness = Harness::new();
    fs::create_dir(harness.path("skriptoteket-data")).unwrap();
    harness.write(
        "skriptoteket-data/skriptoteket.db",
        &"not a database at all ".repeat(100),
    );
    let complaint = harness.refused(&["user", "list"], 1);
    assert!(
        complaint.contains("is not an SQLite database"),
        "{complaint}"
    );
    assert_eq!(
        names_in(&harness.path("skriptoteket-data")),
        ["skriptoteket.db"]
    );
}
