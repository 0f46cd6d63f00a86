//! `session verify` and `session stats` on both kinds of stores.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use skriptoteket::{
    clock::SystemClock,
    store::{
        RedisAddress, RedisSettings, RedisStoreSettings, RedisTopology, SqliteSettings, StoreClock,
        Stores, open_with,
    },
};
use skriptoteket_testing::{redis::RedisServer, stores::raw};

use crate::cli::harness::{Harness, log_in};

/// Ada with two sessions, Bob with one, in the embedded store.
async fn people(harness: &Harness) {
    harness.add("ada", "superuser");
    harness.add("bob", "user");
    log_all_in(harness.stores().await).await;
}

async fn log_all_in(stores: Stores) {
    log_in(&stores, "ada", "Firefox").await;
    log_in(&stores, "ada", "curl").await;
    log_in(&stores, "bob", "").await;
    stores.close().await;
}

/// Opens the harness's stores with sessions on this server.
async fn stores_with(harness: &Harness, server: &RedisServer) -> Stores {
    let timeout = Duration::from_secs(10);
    let sqlite = SqliteSettings {
        path: harness.path("skriptoteket-data/skriptoteket.db"),
        timeout,
    };
    let server = RedisAddress {
        host: "127.0.0.1".into(),
        port: server.port(),
    };
    let redis = RedisStoreSettings {
        redis: RedisSettings {
            topology: RedisTopology::Standalone {
                server,
                database: 0,
            },
            tls: false,
            tls_ca: None,
            username: None,
            password: None,
            sentinel_password: None,
            key_prefix: "skriptoteket".into(),
            connect_timeout: timeout,
            allow_eviction: false,
        },
        timeout,
        clock: StoreClock::Server,
    };
    let clock = Arc::new(SystemClock::default());
    open_with(&sqlite, Some(&redis), clock, None).await.unwrap()
}

async fn plant(harness: &Harness, statement: &'static str) {
    let file = harness.path("skriptoteket-data/skriptoteket.db");
    let mut connection = raw(&file).await;
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .unwrap();
}

fn report(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Returns the numbers of the table row with this title.
fn row<'a>(table: &'a str, title: &str) -> Vec<&'a str> {
    let row = table
        .lines()
        .find_map(|line| line.trim().strip_prefix(title));
    row.unwrap_or_else(|| panic!("{title} in {table}"))
        .split_whitespace()
        .collect()
}

#[tokio::test]
async fn an_audit_without_a_difference_is_done() {
    let harness = Harness::new();
    people(&harness).await;
    let told = harness.done(&["session", "verify"]);
    assert_eq!(row(&told, "sessions, index"), ["1", "0", "0", "2", "3"]);
    assert_eq!(row(&told, "sessions, records"), ["1", "0", "0", "2", "3"]);
    assert_eq!(row(&told, "users, index"), ["1", "0", "0", "1", "2"]);
    assert_eq!(row(&told, "users, records"), ["1", "0", "0", "1", "2"]);
    assert_eq!(row(&told, "started - ended"), ["1", "0", "0", "2", "3"]);
    assert!(told.contains("\nNo difference"), "{told}");

    let report = report(&harness.done(&["session", "verify", "--json"]));
    let counts = json!({"sessions": 2, "users": 1, "expired": 0});
    assert_eq!(
        report["roles"]["superuser"],
        json!({"index": counts, "records": counts, "started": 2, "ended": 0})
    );
    assert_eq!(report["clean"], true);
    assert_eq!(report["findings"], json!([]));
    assert_eq!(report["repaired"], Value::Null);
}

#[tokio::test]
async fn a_difference_is_told_and_fails_until_it_is_mended() {
    let harness = Harness::new();
    people(&harness).await;
    plant(&harness, "UPDATE sessions SET state = '' WHERE role = 3").await;
    for _ in 0..2 {
        let found = harness.run(&["session", "verify"]);
        assert_eq!(found.code, 1, "{found:?}");
        assert!(
            found
                .stdout
                .contains("\n2 × counted, without a readable record\n"),
            "{}",
            found.stdout
        );
        assert!(found.stdout.contains("\n    - sessions.seq 1\n"));
        assert!(
            found
                .stderr
                .contains("`skriptoteket session verify --repair`"),
            "{}",
            found.stderr
        );
        assert_eq!(found.stderr.lines().count(), 1);
    }
    let json = harness.run(&["session", "verify", "--json"]);
    assert_eq!(json.code, 1);
    assert_eq!(
        report(&json.stdout)["findings"],
        json!([{"kind": "indexed_without_record", "count": 2,
                "examples": ["sessions.seq 1", "sessions.seq 2"]}])
    );

    let told = harness.done(&["session", "verify", "--repair"]);
    assert!(told.contains("\n2 × counted"), "{told}");
    assert!(told.contains("\nRepaired entries: 2."), "{told}");
    assert!(told.ends_with("\nNo difference is left.\n"), "{told}");
    harness.done(&["session", "verify"]);

    plant(&harness, "UPDATE session_tallies SET sessions = 9").await;
    let report = report(&harness.done(&["session", "verify", "--repair", "--json"]));
    assert_eq!(report["clean"], true);
    assert_eq!(report["findings"], json!([]));
    assert_eq!(
        report["repaired"]["findings"][0]["kind"],
        "indexed_without_record"
    );
}

#[tokio::test]
async fn the_numbers_are_told_beside_what_the_store_says_of_itself() {
    let harness = Harness::new();
    people(&harness).await;
    harness.done(&["session", "revoke", "--user", "bob"]);
    let told = harness.done(&["session", "stats"]);
    assert_eq!(row(&told, "live sessions"), ["0", "0", "0", "2", "2"]);
    assert_eq!(row(&told, "users"), ["0", "0", "0", "1", "1"]);
    assert_eq!(row(&told, "started"), ["1", "0", "0", "2", "3"]);
    assert_eq!(row(&told, "ended"), ["1", "0", "0", "0", "1"]);
    assert_eq!(row(&told, "revoked"), ["1", "0", "0", "0", "1"]);
    assert_eq!(row(&told, "store"), ["sqlite"]);
    let report = report(&harness.done(&["session", "stats", "--json"]));
    let bob = &report["roles"]["user"];
    assert_eq!((&bob["live"], &bob["started"]), (&json!(0), &json!(1)));
    assert_eq!(bob["ended"]["revoked"], 1);
    assert_eq!(report["store"]["journal_mode"], "wal");
}

#[tokio::test]
async fn sessions_in_redis_are_recounted_mended_and_told_of() {
    let server = RedisServer::start(&[]);
    let key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let harness = Harness::new()
        .with("SKRIPTOTEKET_REDIS_URL", &server.url())
        .with("SKRIPTOTEKET_COOKIE_KEY", key);
    harness.add("ada", "superuser");
    harness.add("bob", "user");
    log_all_in(stores_with(&harness, &server).await).await;
    let stats = report(&harness.done(&["session", "stats", "--json"]));
    assert_eq!(stats["roles"]["superuser"]["live"], 2);
    assert_eq!(stats["store"]["store"], "redis");
    assert_eq!(stats["store"]["observer"], "none");
    harness.done(&["session", "verify"]);

    let mut wire = server.wire();
    for index in wire.scan("*}:z") {
        wire.ask(&["DEL", &index]);
    }
    let found = harness.run(&["session", "verify", "--json"]);
    assert_eq!(found.code, 1, "{found:?}");
    let found = report(&found.stdout);
    assert_eq!(found["findings"][0]["kind"], "record_not_indexed");
    assert_eq!(found["findings"][0]["count"], 3);
    harness.done(&["session", "verify", "--repair"]);
    harness.done(&["session", "verify"]);

    // Keys that are not the store's own are not deleted, and are reported each time.
    wire.ask(&["SET", "{skriptoteket:07}:s:x", "y"]);
    for arguments in [
        &["session", "verify", "--repair"][..],
        &["session", "verify"],
    ] {
        let left = harness.run(arguments);
        assert_eq!(left.code, 1, "{left:?}");
        // A repair that would change nothing is not recommended.
        assert!(left.stderr.contains("a repair leaves them"), "{left:?}");
    }
    assert_eq!(wire.ask(&["GET", "{skriptoteket:07}:s:x"]).text(), "y");

    drop(server);
    for command in [&["session", "verify"][..], &["session", "stats"]] {
        harness.refused(command, 1);
    }
}
