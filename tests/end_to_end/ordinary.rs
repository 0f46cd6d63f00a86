//! Ordinary days: no alert fires, and every panel and rule has data.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    pace::TEST,
    prometheus::Prometheus,
    world::{Visitor, World, add_accounts},
};

/// Five minutes of ordinary load, and a little.
const LOAD: Duration = Duration::from_secs(33);

/// Every rule is evaluated, every recording rule has data, and nothing is NaN or infinite.
async fn assert_rules(prometheus: &Prometheus) {
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

/// Every expression of every board, by the program beside their generator, whose `quiet.json` names those that may be empty,
/// with reasons.
fn assert_boards(prometheus: &str) {
    let grafana = Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana");
    let installed = Command::new(grafana.join("generate/install.sh")).status();
    assert!(installed.unwrap().success(), "npm packages");
    let asked = Command::new("node")
        .arg(grafana.join("generate/ask.mjs"))
        .args([prometheus])
        .arg(grafana.join("dashboards"))
        .args(["10".to_owned(), TEST.interval().as_secs_f64().to_string()])
        .output()
        .unwrap();
    let said = [asked.stdout, asked.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(asked.status.success(), "{said}");
    assert!(said.contains(" passed, 0 failed"), "{said}");
}

fn firing(rule: &Value) -> bool {
    rule["state"] == "firing" && rule["name"] != "Watchdog"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordinary_load_wakes_nobody_and_fills_every_panel_and_rule() {
    let mut world = World::start(TEST, &[("store_timeout", "5s")]).await;
    world.launch_both().await;
    let mut visitor = Visitor::new();
    let accounts = [(String::from("ada"), "user")];
    add_accounts(world.replica(1), &mut visitor.done, &accounts).await;
    let begun = Instant::now();
    // The other replica is used as well.
    let other = async {
        while begun.elapsed() < LOAD {
            visitor.log_in(world.replica(1), "ada").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            if begun.elapsed().as_secs().is_multiple_of(5) {
                visitor.mistype(world.replica(1)).await;
            }
        }
    };
    let (status, ()) = tokio::join!(world.demo(0, LOAD), other);
    assert!(status.success(), "the demo ended with {status}");
    // What happened last may wake somebody too.
    tokio::time::sleep(world.delivery()).await;

    let rules = world.prometheus.rules().await;
    let firing: Vec<_> = rules.iter().filter(|it| firing(it)).collect();
    assert!(firing.is_empty(), "{firing:?}");
    let fired = world.prometheus.fired(begun.elapsed()).await;
    assert!(fired.is_empty(), "{fired:?}");
    assert_rules(&world.prometheus).await;
    let url = world.prometheus.url();
    let boards = tokio::task::spawn_blocking(move || assert_boards(&url));
    boards.await.unwrap();
}
