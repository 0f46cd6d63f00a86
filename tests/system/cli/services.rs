//! `service`.

use serde_json::{Value, json};
use skriptoteket_testing::files::names_in;

use crate::cli::harness::Harness;

/// Registers a service and returns the JSON output of the command.
fn register(harness: &Harness, id: &str, more: &[&str]) -> Value {
    let arguments = [&["service", "register", id, "--json"], more].concat();
    serde_json::from_str(&harness.done(&arguments)).unwrap()
}

fn show(harness: &Harness, id: &str) -> Value {
    serde_json::from_str(&harness.done(&["service", "show", id, "--json"])).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"one",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

#[test]
fn a_service_is_registered_and_its_secret_is_shown_once() {
    let harness = Harness::new();
    let issued = register(
        &harness,
        "inventory",
        &["--description", "What is in stock", "--scope", "stock:read"],
    );
    assert_eq!(issued["client_id"], "inventory");
    let secret = text(&issued, "client_secret");
    assert!(secret.starts_with("sks_") && secret.len() == 47, "{secret}");
    assert!(text(&issued, "expires_at").ends_with('Z'));
    assert_eq!(issued.as_object().unwrap().len(), 3);

    let shown = harness.done(&["service", "show", "inventory"]);
    let listed = harness.done(&["service", "list"]);
    let json = show(&harness, "inventory");
    for text in [&shown, &listed, &json.to_string()] {
        assert!(!text.contains(&secret[4..12]), "{text}");
    }
    assert!(shown.contains("What is in stock"), "{shown}");
    assert_eq!(json["scopes"], json!(["stock:read"]));
    assert_eq!(json["health"], "healthy");
    assert_eq!(json["credentials"][0]["state"], "current");
    assert_eq!(json["last_authentication"], json!(null));
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "id",
            "health",
            "last_seen",
            "credential_expires_at",
            "rate",
            "burst",
            "daily_quota"
        ]
    );
    assert_eq!(rows[1][..3], ["inventory", "healthy", "never"]);
    assert_eq!(rows[1][4..], ["100/s", "200", "none"]);
}

#[test]
fn a_person_is_told_that_the_secret_comes_only_once() {
    let harness = Harness::new();
    let said = harness.done(&["service", "register", "inventory"]);
    assert!(
        said.contains("client_secret  sks_") && said.contains("will not be shown again"),
        "{said}"
    );
    let said = harness.done(&["service", "rotate", "inventory"]);
    assert!(
        said.contains("client_secret  sks_") && said.contains("The previous secret is accepted"),
        "{said}"
    );
}

#[test]
fn limits_are_given_or_usual() {
    let harness = Harness::new();
    let limits = ["--rate", "30/m", "--burst", "10", "--daily-quota", "5000"];
    register(&harness, "billing", &limits);
    let limits = |it: &Value| it["limits"].clone();
    let billing = show(&harness, "billing");
    assert_eq!(
        limits(&billing),
        json!({"rate": "30/m", "burst": 10, "daily_quota": 5000})
    );

    let said = harness.done(&[
        "service",
        "set",
        "billing",
        "--burst",
        "20",
        "--daily-quota",
        "0",
    ]);
    assert_eq!(said, "billing is changed\n");
    let billing = show(&harness, "billing");
    assert_eq!(
        limits(&billing),
        json!({"rate": "30/m", "burst": 20, "daily_quota": null})
    );

    let harness = harness.with("SKRIPTOTEKET_SERVICE_DAILY_QUOTA", "7");
    register(&harness, "usual", &[]);
    let usual = show(&harness, "usual");
    assert_eq!(
        limits(&usual),
        json!({"rate": "100/s", "burst": 200, "daily_quota": 7})
    );
}

#[test]
fn all_but_the_id_can_be_changed() {
    let harness = Harness::new();
    register(
        &harness,
        "inventory",
        &["--scope", "b", "--scope", "a", "--scope", "b"],
    );
    assert_eq!(show(&harness, "inventory")["scopes"], json!(["a", "b"]));
    harness.write("keys.json", KEYS);
    let set = ["service", "set", "inventory"];
    let more = [
        "--description",
        "stock",
        "--scope",
        "c",
        "--public-keys",
        "keys.json",
    ];
    harness.done(&[&set[..], &more].concat());
    let shown = show(&harness, "inventory");
    assert_eq!(
        (&shown["description"], &shown["scopes"]),
        (&json!("stock"), &json!(["c"]))
    );
    assert_eq!(shown["public_keys"]["keys"][0]["kid"], "one");
    harness.done(&[&set[..], &["--no-scopes", "--no-public-keys"]].concat());
    let shown = show(&harness, "inventory");
    assert_eq!(
        (&shown["scopes"], &shown["public_keys"]),
        (&json!([]), &json!(null))
    );
    assert_eq!(shown["description"], "stock");
    let complaint = harness.refused(&set, 2);
    assert!(complaint.contains("--description"), "{complaint}");
}

#[test]
fn a_rotation_keeps_the_secret_before_for_a_while_and_never_a_third() {
    let harness = Harness::new();
    let first = register(&harness, "inventory", &[]);
    let rotate = ["service", "rotate", "inventory", "--json"];
    let second = harness.done(&[&rotate[..], &["--overlap", "1h"]].concat());
    let second: Value = serde_json::from_str(&second).unwrap();
    assert_ne!(first["client_secret"], second["client_secret"]);
    let states = |harness: &Harness| {
        let shown = show(harness, "inventory");
        let credentials = shown["credentials"].as_array().unwrap().clone();
        let states = credentials.iter().map(|it| text(it, "state").to_owned());
        states.collect::<Vec<_>>()
    };
    assert_eq!(states(&harness), ["current", "retired"]);
    let retired = &show(&harness, "inventory")["credentials"][1];
    assert_eq!(retired["expires_at"], second["previous_expires_at"]);

    let complaint = harness.refused(&rotate, 1);
    assert!(
        complaint.starts_with(
            "error: the secret of inventory that the last rotation replaced is still accepted, until "
        ) && complaint.contains("--force"),
        "{complaint}"
    );
    harness.done(&[&rotate[..], &["--overlap", "0s", "--force"]].concat());
    assert_eq!(states(&harness), ["current", "expired"]);
}

#[test]
fn a_service_is_disabled_enabled_and_deleted() {
    let harness = Harness::new();
    register(&harness, "inventory", &[]);
    harness.done(&["service", "disable", "inventory"]);
    assert_eq!(harness.json(&["service", "list"])[0]["health"], "disabled");
    harness.done(&["service", "enable", "inventory"]);
    assert_eq!(harness.json(&["service", "list"])[0]["disabled"], false);
    let said = harness.done(&["service", "delete", "inventory"]);
    assert!(said.starts_with("inventory is deleted; "), "{said}");
    assert!(harness.json(&["service", "list"]).is_empty());
}

#[test]
fn a_service_that_is_not_there_is_named() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    for arguments in [
        &["service", "show", "nothing"][..],
        &["service", "set", "nothing", "--burst", "1"],
        &["service", "set", "nothing", "--description", "x"],
        &["service", "rotate", "nothing"],
        &["service", "disable", "nothing"],
        &["service", "enable", "nothing"],
        &["service", "delete", "nothing"],
    ] {
        let complaint = harness.refused(arguments, 1);
        assert!(
            complaint.starts_with("error: there is no service nothing; "),
            "{complaint}"
        );
    }
}

#[test]
fn an_id_is_taken_once_and_there_are_no_more_services_than_may_be() {
    let harness = Harness::new().with("SKRIPTOTEKET_MAX_SERVICES", "1");
    register(&harness, "inventory", &[]);
    let complaint = harness.refused(&["service", "register", "inventory"], 1);
    assert!(
        complaint.starts_with("error: there is a service inventory already; "),
        "{complaint}"
    );
    let complaint = harness.refused(&["service", "register", "billing"], 1);
    assert!(
        complaint.starts_with("error: there are already 1 services, the maximum of max_services; "),
        "{complaint}"
    );
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_opened() {
    let harness = Harness::new();
    let register = ["service", "register", "a"];
    for (more, part) in [
        (&["--rate", "100"][..], "not a rate"),
        (&["--burst", "0"], "1..=1000000"),
        (
            &["--daily-quota", "1000000000001"],
            "from 0 to 1000000000000",
        ),
        (&["--scope", "a b"], "not a scope"),
    ] {
        let complaint = harness.refused(&[&register[..], more].concat(), 2);
        assert!(complaint.contains(part), "{complaint}");
    }
    let complaint = harness.refused(&["service", "register", "Inventory"], 2);
    assert!(complaint.contains("not a service id"), "{complaint}");
    let rotate = ["service", "rotate", "a", "--overlap", "366d"];
    assert!(harness.refused(&rotate, 2).contains("at most 365d"));
    assert!(names_in(&harness.path("")).is_empty());
}

#[test]
fn public_keys_that_cannot_be_used_are_said_of_their_file() {
    let harness = Harness::new();
    harness.done(&["service", "register", "inventory"]);
    harness.write("keys.json", "{}");
    let register = ["service", "register", "a", "--public-keys"];
    let complaint = harness.refused(&[&register[..], &["keys.json"]].concat(), 1);
    assert!(
        complaint.starts_with("error: keys.json: not a JWK Set"),
        "{complaint}"
    );
    let complaint = harness.refused(&[&register[..], &["nothing.json"]].concat(), 1);
    assert!(
        complaint.starts_with("error: nothing.json cannot be read"),
        "{complaint}"
    );
}

#[test]
fn keys_are_listed_by_what_they_do_and_never_with_what_they_sign() {
    let harness = Harness::new();
    harness.add("ada", "superuser");
    assert!(harness.json(&["key", "list"]).is_empty());
    let said = harness.done(&["key", "rotate"]);
    let keys = harness.json(&["key", "list"]);
    let kid = text(&keys[0], "kid");
    assert!(
        said.starts_with(&format!("the key {kid} is published, and signs from ")),
        "{said}"
    );
    harness.done(&["key", "rotate", "--soon"]);
    let keys = harness.json(&["key", "list"]);
    let fields: Vec<&String> = keys[0].as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["active_from", "algorithm", "expires_at", "kid", "state"]
    );
    let states: Vec<&str> = keys.iter().map(|it| text(it, "state")).collect();
    assert_eq!(states.len(), 2, "{keys:?}");
    assert_eq!(states.iter().filter(|it| **it == "signing").count(), 1);
    assert!(keys.iter().all(|it| text(it, "algorithm") == "EdDSA"));
    assert!(keys[0]["expires_at"].is_string() && keys[1]["expires_at"].is_null());
    let table = harness.done(&["key", "list"]);
    assert!(table.contains("kid") && table.contains(text(&keys[1], "kid")));
}

#[test]
fn a_number_that_is_none_is_refused_in_words() {
    let harness = Harness::new();
    for wrong in ["1e9", "1.5", "-1", "1000000000001", ""] {
        let quota = format!("--daily-quota={wrong}");
        let complaint = harness.refused(&["service", "register", "inventory", &quota], 2);
        let expected = "expected a whole number in digits, from 0 to 1000000000000";
        assert!(complaint.contains(expected), "{complaint}");
    }
    register(&harness, "inventory", &[]);
    let rotate = ["service", "rotate", "inventory", "--overlap", "1.5h"];
    let complaint = harness.refused(&rotate, 2);
    assert!(
        complaint.contains("a whole number and a unit"),
        "{complaint}"
    );
}

#[test]
fn people_read_times_without_fractions_of_a_second() {
    let harness = Harness::new();
    let registered = harness.done(&["service", "register", "inventory"]);
    let rotated = harness.done(&["service", "rotate", "inventory"]);
    let again = harness.refused(&["service", "rotate", "inventory"], 1);
    let shown = harness.done(&["service", "show", "inventory"]);
    let listed = harness.done(&["service", "list"]);
    let key = harness.done(&["key", "rotate"]);
    let keys = harness.done(&["key", "list"]);
    for text in [registered, rotated, again, shown, listed, key, keys] {
        let mut words = text.split_whitespace();
        let time = words.find(|it| it.starts_with("20") && it.contains('T'));
        let time = time.expect(&text).trim_end_matches(['.', ';']);
        assert_eq!((time.len(), &time[19..]), (20, "Z"), "{text}");
    }
}
