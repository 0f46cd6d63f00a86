//! `metrics`: the catalogue of metrics.

use serde_json::Value;

use crate::cli::harness::Harness;

#[test]
fn the_catalogue_is_printed_as_a_table_and_as_json() {
    let harness = Harness::new();
    let table = harness.done(&["metrics"]);
    let listed = harness.json(&["metrics"]);
    assert!(listed.len() > 30, "{}", listed.len());
    for metric in &listed {
        let name = metric["prometheus"].as_str().unwrap();
        let line = table
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        let line = line.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert!(line.contains(metric["scope"].as_str().unwrap()), "{line}");
    }
    let failures = listed
        .iter()
        .find(|it| it["prometheus"] == "skriptoteket_login_failures_total");
    let label: &Value = &failures.unwrap()["labels"][0];
    assert_eq!(label["label"], "reason");
    assert!(
        label["values"]
            .as_array()
            .unwrap()
            .contains(&"banned".into())
    );
}
