//! The metrics of an application: the same as the server's, exported by us or by the application itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use skriptoteket::{accounts::Role, clock::SystemClock, config::Environment};
use skriptoteket_config::otel_settings;
use skriptoteket_testing::{
    application::{RunningApplication, config_in},
    http::{client, plain},
    page::Page,
    redis::RedisServer,
    wait::wait_until,
};

use crate::embedding::application::{Application, PASSWORD, Users, builder};

/// The metrics page, and no export.
fn page_only() -> skriptoteket::telemetry::OtelSettings {
    otel_settings(&Environment::default()).unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn live_sessions_by_role_and_logins_are_on_the_metrics_page() {
    let redis = RedisServer::start(&[]);
    let users = Users::new(&[("ada", Role::Admin), ("bob", Role::User)]);
    let app = builder(&redis, &users).telemetry(page_only());
    let app = Application::start(app.census_interval(Duration::from_millis(100))).await;
    let first = app.page(&plain()).await;
    // Before the first login, every series is there with its first value.
    assert_eq!(
        first.value("skriptoteket_sessions_by_role{role=\"admin\"}"),
        0.0
    );
    assert_eq!(
        first.value("skriptoteket_sessions_started_total{role=\"user\"}"),
        0.0
    );
    let browsers = [client(), client(), client()];
    app.log_in(&browsers[0], "ada", PASSWORD).await;
    app.log_in(&browsers[1], "ada", PASSWORD).await;
    app.log_in(&browsers[2], "bob", PASSWORD).await;
    app.log_in(&browsers[2], "bob", "wrong").await;
    let page = app
        .page_where(&plain(), "three sessions live", |page| {
            page.get("skriptoteket_active_sessions") == Some(3.0)
        })
        .await;
    for (series, value) in [
        ("skriptoteket_sessions_by_role{role=\"admin\"}", 2.0),
        ("skriptoteket_sessions_by_role{role=\"user\"}", 1.0),
        ("skriptoteket_sessions_by_role{role=\"superuser\"}", 0.0),
        ("skriptoteket_users_by_role{role=\"admin\"}", 1.0),
        ("skriptoteket_sessions_started_total{role=\"admin\"}", 2.0),
    ] {
        assert_eq!(page.value(series), value, "{series}");
    }
    let failures = page.sum("skriptoteket_login_failures_total", "reason=");
    assert_eq!(failures, 1.0, "{page:?}");
    // Pages of the application are recorded by pattern, so a visitor cannot create a series.
    app.get(&plain(), "/open/1").await;
    app.get(&plain(), "/open/2").await;
    let page = app.page(&plain()).await;
    let routes = page.series().into_iter().filter(|it| it.contains("/open/"));
    let routes: BTreeSet<&str> = routes.collect();
    assert!(!routes.is_empty());
    assert!(
        routes.iter().all(|it| it.contains("\"/open/{number}\"")),
        "{routes:?}"
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metrics_page_with_a_token_is_for_those_who_present_it() {
    let redis = RedisServer::start(&[]);
    let app = builder(&redis, &Users::default()).telemetry(page_only());
    let app = Application::start(app.metrics_token("for Prometheus".into())).await;
    assert_eq!(app.get(&plain(), "/metrics").await.0, 401);
    let presented = plain().get(format!("{}/metrics", app.url));
    let presented = presented.bearer_auth("for Prometheus").send().await;
    assert_eq!(presented.unwrap().status(), 200);
    app.stop().await;
}

/// The type, the help and the label names of each metric on a page.
fn metrics_of(page: &str) -> BTreeMap<String, (Option<String>, BTreeSet<Vec<String>>)> {
    let parsed = skriptoteket::telemetry::exposition::Exposition::parse(page).unwrap();
    let help = |name: &str| {
        let line = format!("# HELP {name} ");
        let lines = page.lines();
        let mut help = lines.filter_map(|it| it.strip_prefix(&line));
        help.next().map(str::to_owned)
    };
    let mut metrics = BTreeMap::new();
    for sample in parsed.samples {
        let entry = metrics
            .entry(sample.name.clone())
            .or_insert_with(|| (help(&sample.name), BTreeSet::new()));
        entry
            .1
            .insert(sample.labels.keys().map(ToString::to_string).collect());
    }
    metrics
}

#[tokio::test(flavor = "multi_thread")]
async fn names_labels_and_help_are_those_of_the_server() {
    let redis = RedisServer::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let url = redis.url();
    let config = config_in(dir.path(), &[("redis_url", &url)]);
    let mut server = RunningApplication::start(&config, Arc::new(SystemClock::default())).await;
    let users = Users::new(&[("ada", Role::Admin)]);
    let app = builder(&redis, &users)
        .redis_key_prefix("app")
        .telemetry(page_only());
    let app = Application::start(app).await;
    app.log_in(&client(), "ada", PASSWORD).await;
    let refused = plain().post(format!("{}/api/login", server.public));
    let refused = refused.json(&serde_json::json!({"username": "ada", "password": PASSWORD}));
    assert_eq!(refused.send().await.unwrap().status(), 401);

    let text = plain().get(format!("{}/metrics", server.management)).send();
    let theirs = metrics_of(&text.await.unwrap().text().await.unwrap());
    let ours = metrics_of(&app.get(&plain(), "/metrics").await.1);
    let mut compared = 0;
    for (name, metric) in &ours {
        if name == "target_info" {
            continue;
        }
        let same = theirs.get(name);
        let same = same.unwrap_or_else(|| panic!("the server has no {name}"));
        assert_eq!(metric.0, same.0, "the help of {name}");
        assert!(metric.1.is_subset(&same.1), "{name}: {metric:?} {same:?}");
        compared += 1;
    }
    assert!(compared > 20, "only {compared} metrics were compared");
    app.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_exports_with_its_own_provider() {
    let redis = RedisServer::start(&[]);
    let users = Users::new(&[("ada", Role::Admin)]);
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone());
    let provider = SdkMeterProvider::builder()
        .with_reader(exporter.build().unwrap())
        .build();
    let app = builder(&redis, &users).meter_provider(&provider);
    let app = Application::start(app.census_interval(Duration::from_millis(100))).await;
    app.log_in(&client(), "ada", PASSWORD).await;

    let page = || {
        let text = TextEncoder::new().encode_to_string(&registry.gather());
        Page::parse(&text.unwrap())
    };
    let admins = "skriptoteket_sessions_by_role{role=\"admin\",otel_scope_name=\"skriptoteket\"}";
    let admins = || page().get(admins) == Some(1.0);
    tokio::task::block_in_place(|| wait_until("the gauge counts the session", admins));
    let page = page();
    let logins = page.sum("skriptoteket_logins_total", "otel_scope_name");
    assert_eq!(logins, 1.0, "{page:?}");
    // The page of the application's own exporter is elsewhere.
    assert_eq!(app.get(&plain(), "/metrics").await.0, 404);
    app.stop().await;

    // Its lease is released, whoever exports, so another replica counts at once.
    let other = builder(&redis, &users).telemetry(page_only());
    let other = other.census_interval(Duration::from_mins(1));
    let other = Application::start(other).await;
    let page = other.page(&plain()).await;
    let admins = page.get("skriptoteket_sessions_by_role{role=\"admin\"}");
    assert_eq!(admins, Some(1.0));
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_shutdown_another_replica_counts_at_once() {
    let redis = RedisServer::start(&[]);
    let users = Users::new(&[("ada", Role::Admin)]);
    let start = || {
        let builder = builder(&redis, &users).telemetry(page_only());
        // Longer than this test: only the lease that was released lets the other one count at once.
        Application::start(builder.census_interval(Duration::from_mins(1)))
    };
    let one = start().await;
    one.log_in(&client(), "ada", PASSWORD).await;
    one.stop().await;
    let two = start().await;
    let page = two.page(&plain()).await;
    assert_eq!(
        page.get("skriptoteket_sessions_by_role{role=\"admin\"}"),
        Some(1.0)
    );
    two.stop().await;
}
