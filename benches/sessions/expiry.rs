//! Sessions that expire without any further request.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use skriptoteket::{accounts::UserId, sessions::SessionRepository};
use skriptoteket_testing::{load::Server, redis::RedisServer};

use super::{
    Meter, Scale,
    checks::our_service,
    counting::thousands,
    peers,
    population::{self, in_flight, session_of},
    progress,
};

/// Sessions that come and go before the measurement, so that all shards and scripts exist.
const BEFORE: u64 = 2_000;

/// Time limit of every wait.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// How much more memory Redis may use than before, as a share: its tables shrink in steps.
const NOISE: f64 = 0.03;

/// Servers that share the sessions. One of them ends the expired sessions.
const REPLICAS: usize = 3;

/// The interval of the store calls made meanwhile.
const ASKED_EVERY: Duration = Duration::from_millis(2);

async fn others(dir: &Path, redis: &RedisServer) -> anyhow::Result<Vec<Server>> {
    let mut others = Vec::new();
    for _ in 1..REPLICAS {
        others.push(our_service(&dir.join("expiry"), redis).await?);
    }
    Ok(others)
}

/// Calls the store until `until`. Returns the median and the 99th percentile of the duration, in ms.
async fn asked(sessions: Arc<dyn SessionRepository>, until: Instant) -> anyhow::Result<[f64; 2]> {
    let mut took = Vec::new();
    while Instant::now() < until {
        let started_at = Instant::now();
        sessions.ping().await?;
        took.push(started_at.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(ASKED_EVERY).await;
    }
    ensure!(!took.is_empty(), "the store was not called");
    took.sort_by(f64::total_cmp);
    Ok([took[took.len() / 2], took[took.len() * 99 / 100]])
}

/// Values on the service's metrics page.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Page {
    active: Option<u64>,
    ended_idle: u64,
    ended_otherwise: u64,
}

async fn page(service: &Server) -> anyhow::Result<Page> {
    let text = reqwest::get(service.management("/metrics"))
        .await?
        .text()
        .await?;
    let mut page = Page {
        active: None,
        ended_idle: 0,
        ended_otherwise: 0,
    };
    for line in text.lines() {
        let Some((name, value)) = line.rsplit_once(' ') else {
            continue;
        };
        if name == "skriptoteket_active_sessions" {
            page.active = Some(value.parse()?);
        } else if name.starts_with("skriptoteket_sessions_ended_total") {
            if name.contains("reason=\"idle\"") {
                page.ended_idle += value.parse::<u64>()?;
            } else {
                page.ended_otherwise += value.parse::<u64>()?;
            }
        }
    }
    Ok(page)
}

/// Waits until a page satisfies a condition. Returns it with the time since `started_at`.
async fn page_where(
    service: &Server,
    started_at: Instant,
    what: &str,
    is_so: impl Fn(&Page) -> bool,
) -> anyhow::Result<(Page, Duration)> {
    let waiting = Instant::now();
    loop {
        let page = page(service).await?;
        if is_so(&page) {
            return Ok((page, started_at.elapsed()));
        }
        ensure!(
            waiting.elapsed() < TIME_LIMIT,
            "timeout while waiting for {what}: {page:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Lets sessions expire under running replicas of the service, and prints how long they remain visible, and where.
pub(crate) async fn measure(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let redis = RedisServer::start(&[]);
    let service = our_service(&dir.join("expiry"), &redis).await?;
    let _others = others(dir, &redis).await?;
    let mut meter = Meter::open(&redis.url())?;
    let stores =
        population::open(&dir.join("expiry").join("data"), &peers::our_url(&redis)).await?;
    let start = |count: u64, deadline: Instant| {
        let sessions = stores.sessions.clone();
        async move {
            in_flight(0..count, |n| {
                let idle = deadline.saturating_duration_since(Instant::now());
                let session = session_of(UserId::generate(), n, idle);
                let sessions = &sessions;
                async move { sessions.create(session, 10).await.map(drop) }
            })
            .await
        }
    };

    let started_at = Instant::now();
    start(BEFORE, started_at + Duration::from_secs(3)).await?;
    let pace = started_at.elapsed().div_f64(BEFORE as f64);
    let (first, _) = page_where(&service, started_at, "the first to end", |page| {
        page.ended_idle == BEFORE && page.active == Some(0)
    })
    .await?;
    let (keys_before, memory_before) = (meter.keys()?, meter.memory()?);

    // Long enough to start them all and to count them all.
    let life = pace.mul_f64(2.0 * scale.expiring as f64) + Duration::from_secs(8);
    let deadline = Instant::now() + life;
    start(scale.expiring, deadline).await?;
    ensure!(
        Instant::now() < deadline,
        "starting the sessions took longer than their lifetime"
    );
    page_where(&service, deadline, "a count of all", |page| {
        page.active == Some(scale.expiring)
    })
    .await?;
    let memory_between = meter.memory()?;
    progress(format_args!(
        "{} sessions are live and counted",
        scale.expiring
    ));
    let quiet = asked(stores.sessions.clone(), deadline).await?;
    // Covers the time in which most of them end, whatever the speed of the machine.
    let busy = asked(stores.sessions.clone(), deadline + Duration::from_secs(2));
    let busy = tokio::spawn(busy);

    let (_, gone) = page_where(&service, deadline, "the gauge at 0", |page| {
        page.active == Some(0)
    })
    .await?;
    let all = first.ended_idle + scale.expiring;
    let (last, ended) = page_where(&service, deadline, "all ends", |page| {
        page.ended_idle >= all
    })
    .await?;
    ensure!(
        last.ended_idle == all && last.ended_otherwise == 0,
        "each ended once: {last:?}"
    );
    let waiting = Instant::now();
    while meter.keys()? > keys_before || meter.memory()? > memory_before * (1.0 + NOISE) {
        ensure!(
            waiting.elapsed() < TIME_LIMIT,
            "Redis keeps {} keys and {} bytes",
            meter.keys()?,
            meter.memory()?
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (keys, memory) = (meter.keys()?, meter.memory()?);
    println!(
        "\n## {} sessions expire at once, and nobody comes\n\n| what | measured |\n|---|---:|",
        thousands(scale.expiring)
    );
    println!(
        "| from the expiry until the gauge shows 0 | {:.2} s |",
        gone.as_secs_f64()
    );
    println!(
        "| from the expiry until each is ended and counted | {:.1} s |",
        ended.as_secs_f64()
    );
    println!(
        "| ends counted, reason `idle` | {} |",
        thousands(last.ended_idle - first.ended_idle)
    );
    let busy = busy.await??;
    for (what, [half, most]) in [("before", quiet), ("in the first two seconds", busy)] {
        println!("| a question to the store {what}: p50, p99 | {half:.2}, {most:.2} ms |");
    }
    println!("| keys in Redis before and after | {keys_before} and {keys} |");
    println!(
        "| memory before, while they lived, after | {:.2}, {:.1}, {:.2} MB |",
        memory_before / 1e6,
        memory_between / 1e6,
        memory / 1e6
    );
    Ok(())
}
