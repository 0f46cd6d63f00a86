//! `alerts` with a real Alertmanager that has the shipped configuration, and with other senders.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use skriptoteket_testing::{
    files::{in_repository, read},
    ports::free_port,
    process::{Killed, spawn_for_life},
};

use crate::cli::harness::Harness;

/// A running `skriptoteket alerts` process.
struct Sink {
    _process: Killed,
    address: SocketAddr,
    printed: BufReader<ChildStdout>,
}

impl Sink {
    fn start(harness: &Harness) -> Self {
        let mut process = harness.start(&["alerts", "--listen", "127.0.0.1:0"]);
        let mut printed = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        printed.read_line(&mut first).unwrap();
        let (_, rest) = first.split_once("http://").unwrap();
        let address = rest.split('/').next().unwrap().parse().unwrap();
        Self {
            _process: Killed(process),
            address,
            printed,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.printed.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

/// Returns the status of the response to a POST request.
fn post(to: SocketAddr, path: &str, body: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
    status.ok_or_else(|| std::io::Error::other("no answer"))
}

fn lost() -> Value {
    json!({
        "labels": {"alertname": "SessionsLost", "severity": "critical", "service": "skriptoteket", "job": "shop"},
        "annotations": {
            "summary": "The session store has lost sessions",
            "description": "About 7 sessions were lost.",
            "runbook_url": "http://localhost:9090/user/SessionsLost.md",
            "dashboard_url": "http://localhost:3000/d/skriptoteket-sessions",
        },
    })
}

#[test]
fn what_arrives_is_printed_without_what_a_terminal_would_obey_and_the_rest_is_refused() {
    let harness = Harness::new();
    let mut sink = Sink::start(&harness);
    for junk in ["", "{}", "[]", "{\"receiver\": 1, \"alerts\": []}"] {
        assert_eq!(post(sink.address, "/", junk).unwrap(), 400, "{junk}");
    }
    let alert = json!({
        "status": "resolved",
        "labels": {"alertname": "Odd\u{1b}[2J", "severity": "warning", "job": "a\nb"},
        "annotations": {"summary": "two\r\nlines\u{7}"},
    });
    let sent =
        json!({"version": "4", "receiver": "people", "status": "resolved", "alerts": [alert]});
    assert_eq!(post(sink.address, "/any", &sent.to_string()).unwrap(), 204);
    let line = sink.line();
    assert!(line.contains(" RESOLVED warning Odd"), "{line}");
    assert!(line.ends_with(" (receiver people)"), "{line}");
    let line = sink.line();
    assert!(
        line.starts_with("    two") && line.contains("lines"),
        "{line}"
    );
    assert!(!line.contains(char::is_control), "{line:?}");
}

/// Returns the shipped configuration with this webhook, and without the wait for other alerts of a group.
fn configuration(webhook: SocketAddr) -> String {
    let shipped = read("docker/alertmanager.yml");
    assert_eq!(shipped.matches("http://alerts:9095/").count(), 3);
    let lines = shipped
        .lines()
        .map(|line| match line.split_once("group_wait: ") {
            Some((indent, _)) => [indent, "group_wait: 0s"].concat(),
            None => line.to_owned(),
        });
    let text = lines.collect::<Vec<_>>().join("\n");
    text.replace("http://alerts:9095/", &format!("http://{webhook}/"))
}

#[test]
fn alertmanager_sends_each_severity_to_its_receiver_and_the_webhook_prints_it() {
    let harness = Harness::new();
    let mut sink = Sink::start(&harness);
    harness.write("alertmanager.yml", &configuration(sink.address));
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let log = File::create(harness.path("log")).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "prometheus-alertmanager"])
        .arg("--config.file=alertmanager.yml")
        .arg("--storage.path=data")
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .current_dir(harness.path(""))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let alertmanager = Killed(spawn_for_life(command));

    let label = |name: &str, severity: &str| json!({"labels": {"alertname": name, "severity": severity, "job": "shop"}});
    // Inhibited alerts are sent after their cause.
    for alerts in [
        json!([lost(), label("Watchdog", "none")]),
        json!([
            label("ActiveSessionsDrop", "warning"),
            label("TargetDown", "warning")
        ]),
        json!([label("RetiredCredentialInUse", "info")]),
    ] {
        let body = alerts.to_string();
        let mut status = post(address, "/api/v2/alerts", &body);
        for _ in 0..300 {
            if status.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            status = post(address, "/api/v2/alerts", &body);
        }
        let said = fs::read_to_string(harness.path("log")).unwrap();
        assert_eq!(status.unwrap(), 200, "{said}");
        let line = sink.line();
        let expected = match alerts[0]["labels"]["severity"].as_str().unwrap() {
            "critical" => " FIRING critical SessionsLost job=shop (receiver critical)",
            "warning" => " FIRING warning TargetDown job=shop (receiver warning)",
            _ => " FIRING info RetiredCredentialInUse job=shop (receiver info)",
        };
        assert!(line.ends_with(expected), "{line}");
        if line.contains("SessionsLost") {
            let lines = [(); 4].map(|()| sink.line());
            assert_eq!(
                lines,
                [
                    "    The session store has lost sessions",
                    "    About 7 sessions were lost.",
                    "    http://localhost:9090/user/SessionsLost.md",
                    "    http://localhost:3000/d/skriptoteket-sessions",
                ]
            );
        }
    }
    drop(alertmanager);
}

/// Returns the commands of this program in the runbooks, with placeholders filled in.
fn runbook_commands() -> Vec<(String, Vec<String>)> {
    let runbooks = in_repository("docs/runbooks");
    let mut found = Vec::new();
    for file in fs::read_dir(runbooks).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        for block in text.split("```sh\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let commands = block
                .lines()
                .filter_map(|line| line.trim().strip_prefix("skriptoteket "));
            for command in commands {
                let command = command.split(['|', '#']).next().unwrap();
                let words = command.split_whitespace().map(|word| match word {
                    "ID" => "inventory",
                    "NAME" => "ada",
                    word => word,
                });
                found.push((name.to_owned(), words.map(str::to_owned).collect()));
            }
        }
    }
    found
}

#[test]
fn every_command_of_the_runbooks_is_one_that_the_program_takes() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    let commands = runbook_commands();
    assert!(commands.len() > 15, "{commands:?}");
    for (runbook, words) in commands {
        let register = ["service", "register", "inventory"];
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        if !arguments.starts_with(&["service", "register"]) {
            // The service is still registered unless the previous command has deleted it.
            harness.run(&register);
        }
        let answer = harness.run(&arguments);
        let refused = answer.code != 0 && !arguments.starts_with(&["service", "register"]);
        assert!(
            answer.code != 2 && !refused,
            "{runbook}: {words:?}: {answer:?}"
        );
    }
}
