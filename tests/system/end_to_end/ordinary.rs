//! Ordinary days: no alert fires, and every panel and rule has data.

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use skriptoteket_testing::{files::in_repository, prometheus::Prometheus};

use crate::end_to_end::{
    machines::Machine,
    pace::TEST,
    world::{Visitor, World, add_accounts},
};

/// Five minutes of ordinary load, with some slack.
const LOAD: Duration = Duration::from_secs(33);

/// The demo deletes its accounts no earlier than this before its end.
const BEFORE_CLEARING: Duration = Duration::from_secs(2);

/// Alerts that the demo raises on purpose, to show them, and the services that they are about. Any other alert would be
/// a false alarm.
const SHOWN: [(&str, &str, &str); 3] = [
    (
        "RetiredCredentialInUse",
        "inventory",
        "after a rotation it uses the old secret in one place that was forgotten",
    ),
    (
        "RateLimitRejecting",
        "billing",
        "it asks for more than its quota of the day, and goes on when that is used up",
    ),
    (
        "RateLimitSaturation",
        "billing",
        "its quota of the day stays used up",
    ),
];

/// Every rule is evaluated, every recording rule has data, and nothing is NaN or infinite.
pub(crate) async fn assert_rules(prometheus: &Prometheus) {
    let rules = prometheus.rules().await;
    let (mut recorded, mut alerts) = (0, 0);
    for rule in &rules {
        let name = rule["name"].as_str().unwrap();
        assert_eq!(rule["health"], "ok", "{name}: {}", rule["lastError"]);
        let expression = rule["query"].as_str().unwrap();
        let values = prometheus.query(expression).await;
        for sample in &values {
            assert!(sample.value.is_finite(), "{name}: {sample:?}");
        }
        if rule["type"] == "recording" {
            recorded += 1;
            assert!(!values.is_empty(), "{name} has no data");
            let kept = prometheus.query(name).await;
            assert!(!kept.is_empty(), "{name} is not recorded");
        } else {
            alerts += 1;
        }
    }
    assert!(recorded > 8 && alerts > 15, "{recorded}, {alerts}");
}

/// Returns the lines of all code blocks of this language in the runbooks, each with its file name.
fn runbook_lines(language: &str) -> Vec<(String, String)> {
    let runbooks = in_repository("docs/runbooks");
    let mut found = Vec::new();
    for file in fs::read_dir(runbooks).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let fence = format!("```{language}\n");
        for block in text.split(&fence).skip(1) {
            let block = block.split("```").next().unwrap();
            let lines = block.lines().map(str::trim).filter(|it| !it.is_empty());
            found.extend(lines.map(|line| (name.to_owned(), line.to_owned())));
        }
    }
    found
}

/// Asserts that Prometheus accepts every query in the runbooks.
async fn assert_runbooks(prometheus: &Prometheus) {
    let lines = runbook_lines("promql");
    assert!(lines.len() > 30, "{lines:?}");
    for (runbook, line) in lines {
        eprintln!("{runbook}: {line}");
        prometheus.query(&line).await;
    }
}

/// Runs every expression of every board, by the script next to their generator. Its `quiet.json` lists the expressions
/// that may be empty, with reasons. `world` is `direct` where Prometheus scrapes the replicas; the Collector's panels
/// are empty then.
pub(crate) fn assert_boards(prometheus: &str, world: &str) {
    let grafana = in_repository("grafana");
    let installed = Command::new(grafana.join("generate/install.sh")).status();
    assert!(installed.unwrap().success(), "npm packages");
    let asked = Command::new("node")
        .arg(grafana.join("generate/ask.mjs"))
        .args([prometheus])
        .arg(grafana.join("dashboards"))
        .args(["10".to_owned(), TEST.interval().as_secs_f64().to_string()])
        .arg(world)
        .output()
        .unwrap();
    let said = [asked.stdout, asked.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(asked.status.success(), "{said}");
    assert!(said.contains(" passed, 0 failed"), "{said}");
}

/// At its end the demo deletes its accounts, and with them most of the live sessions.
const CLEARING: &str = "ActiveSessionsDrop";

/// Alerts that fired, each with the service that it is about.
type Fired = BTreeSet<(String, String)>;

/// Asserts that only the demo's own alerts fired, and that the use of a retired secret was reported at once.
fn assert_alerts(fired: &Fired) {
    let is_shown = |(alert, id): &(String, String)| {
        let mut shown = SHOWN.iter();
        shown.any(|(name, of, _)| alert == name && id.ends_with(&format!("-{of}")))
    };
    assert!(fired.iter().all(is_shown), "{fired:?}");
    let retired = |(alert, _): &(String, String)| alert == SHOWN[0].0;
    assert!(fired.iter().any(retired), "{fired:?}");
    eprintln!("the demo showed {fired:?}");
}

/// A machine that behaves correctly, and continues when the demo's machines are gone.
async fn work(machine: &Machine, world: &World, token: &mut Option<String>) {
    let service = world.replica(1);
    let token = match token {
        Some(token) => token,
        None => token.insert(machine.token(service).await),
    };
    machine.heartbeat(service, token).await;
    let status = machine.check(service, token).await;
    assert_eq!(status, 200, "{}", service.output());
}

/// Runs five minutes of an ordinary day: the demo's users at one replica, a user and a machine at the other. Returns
/// what fired until shortly before the demo deleted its accounts.
pub(crate) async fn use_both(world: &World, visitor: &mut Visitor) -> Fired {
    let accounts = [(String::from("bo"), "user")];
    add_accounts(world.replica(1), &mut visitor.done, &accounts).await;
    let admin = world.replica(1).admin().await;
    let terms = json!({"rate": "20/s", "burst": 40, "daily_quota": 100_000});
    let payroll = Machine::register(world.replica(1), &admin, "payroll", &terms).await;
    let mut token = None;
    let mut fired = Fired::new();
    let started_at = Instant::now();
    let other = async {
        while started_at.elapsed() < LOAD {
            if started_at.elapsed() + BEFORE_CLEARING < LOAD {
                let prometheus = &world.prometheus;
                fired = prometheus
                    .fired_of("service_id", started_at.elapsed())
                    .await;
            }
            visitor.log_in(world.replica(1), "bo").await;
            work(&payroll, world, &mut token).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if started_at.elapsed().as_secs().is_multiple_of(5) {
                visitor.mistype(world.replica(1)).await;
            }
        }
    };
    let (status, ()) = tokio::join!(world.demo(0, LOAD), other);
    assert!(status.success(), "the demo ended with {status}");
    // The last events may raise an alert too.
    tokio::time::sleep(world.delivery()).await;
    fired
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordinary_load_wakes_nobody_and_fills_every_panel_and_rule() {
    let mut world = World::start(TEST, &[("store_timeout", "5s")]).await;
    world.launch_both().await;
    let started_at = Instant::now();
    let mut fired = use_both(&world, &mut Visitor::new()).await;

    assert_alerts(&fired);
    let all = world
        .prometheus
        .fired_of("service_id", started_at.elapsed());
    fired.extend(all.await);
    fired.remove(&(CLEARING.to_owned(), String::new()));
    assert_alerts(&fired);
    assert_rules(&world.prometheus).await;
    assert_runbooks(&world.prometheus).await;
    let url = world.prometheus.url();
    let boards = tokio::task::spawn_blocking(move || assert_boards(&url, "collector"));
    boards.await.unwrap();
}
