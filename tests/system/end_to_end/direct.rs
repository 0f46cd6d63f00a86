//! Prometheus scrapes the replicas directly, with `direct.yml`: rules and boards give the same results as with a
//! Collector.

use std::time::{Duration, Instant};

use skriptoteket_testing::{prometheus::Sample, service::PASSWORD};

use crate::end_to_end::{
    ordinary::{assert_boards, assert_rules, use_both},
    pace::TEST,
    world::{LIVE, REPLICAS, Visitor, World},
};

/// Users who are logged in at the start. They log out one after the other.
const PEOPLE: u32 = 40;

/// The time over which they log out. Both replicas are restarted twice meanwhile.
const LEAVING: Duration = Duration::from_secs(24);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scraped_directly_totals_go_on_in_a_rolling_restart_and_no_alert_fires() {
    let settings = [("store_timeout", "5s"), ("max_sessions_per_user", "1000")];
    let mut world = World::start_direct(TEST, &settings).await;
    world.launch_both().await;
    let started_at = Instant::now();
    let mut visitor = Visitor::new();
    let password = format!("{PASSWORD}\n");
    world.command(&["user", "add", "ada", "--password-stdin"], &password);
    let mut cookies = Vec::new();
    for _ in 0..PEOPLE {
        cookies.push(visitor.cookie(world.replica(0), "ada").await);
    }
    world.prometheus.until_is(LIVE, f64::from(PEOPLE)).await;
    // The window queried below must include totals from before the logouts.
    tokio::time::sleep(world.delivery()).await;

    // Each replica is stopped while it may be the observer, so the totals move from one target to the other and back.
    let restarts = [0, 1, 0, 1];
    let pause = LEAVING / u32::try_from(restarts.len()).unwrap();
    for n in restarts {
        let until = Instant::now() + pause;
        world.stop(n).await;
        let other = 1 - n;
        for cookie in cookies.drain(..usize::try_from(PEOPLE).unwrap() / restarts.len()) {
            visitor.log_out(world.replica(other), &cookie).await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        world.launch(n, &[]).await;
        tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
    }
    world.prometheus.until_is(REPLICAS, 2.0).await;
    world.prometheus.until_is(LIVE, 0.0).await;

    let prometheus = &world.prometheus;
    let total = r#"sum(skriptoteket:sessions_ended:max{reason="logout"})"#;
    prometheus.until_is(total, f64::from(PEOPLE)).await;
    let resets = "sum(resets(skriptoteket:sessions_ended:max[30m]))";
    prometheus.until_is(resets, 0.0).await;
    // All logouts show as an increase. Prometheus extrapolates it slightly to the ends of the window.
    let increase = r#"sum(increase(skriptoteket:sessions_ended:max{reason="logout"}[10m]))"#;
    let all = f64::from(PEOPLE);
    let near = |found: &[Sample]| {
        let near = |it: &Sample| it.value >= 0.99 * all && it.value < 1.2 * all;
        found.iter().any(near)
    };
    prometheus
        .until("all logouts", increase, prometheus.time_limit(), near)
        .await;
    // The same from the series of the single replicas. The difference is the reason for the recording rule.
    let apart =
        r#"sum(max by (role) (increase(skriptoteket_sessions_ended_total{reason="logout"}[10m])))"#;
    let apart = prometheus.value(apart).await;
    eprintln!("of {all} logouts the replicas' own series show {apart:?}");

    let fired = prometheus.fired(started_at.elapsed()).await;
    assert!(fired.is_empty(), "a rolling restart wakes {fired:?}");

    use_both(&world, &mut visitor).await;
    let prometheus = &world.prometheus;
    assert_rules(prometheus).await;
    let url = prometheus.url();
    let boards = tokio::task::spawn_blocking(move || assert_boards(&url, "direct"));
    boards.await.unwrap();
}
