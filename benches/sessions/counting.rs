//! The census compared with SCAN + MGET, and the memory of a session.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use skriptoteket_testing::{
    load::{Server, median, ratio},
    redis::RedisServer,
};

use super::{Meter, Population, Scale, peers, progress, scanning};

/// Censuses of a round, and rounds. Each round has one SCAN + MGET.
const CENSUSES: usize = 50;
const ROUNDS: usize = 3;

/// Maximum time for the peer to count.
const TIME_LIMIT: Duration = Duration::from_mins(3);

/// Commands whose cost grows with the number of stored items.
const GROWING: &[&str] = &[
    "keys", "scan", "sscan", "zscan", "hscan", "smembers", "mget",
];

struct Row {
    size: u64,
    census: Vec<f64>,
    census_cpu: f64,
    commands: BTreeMap<String, u64>,
    scan: Vec<f64>,
    scan_cpu: f64,
    ratio: f64,
    scrape: f64,
    bytes: f64,
    scanned_bytes: f64,
}

/// Counts sessions at each size, and prints the cost.
pub(crate) async fn compare(
    population: &mut Population,
    redis: &RedisServer,
    scale: Scale,
) -> anyhow::Result<()> {
    let mut meter = Meter::open(&redis.url())?;
    let mut scanned = Meter::open(&peers::express_url(redis))?;
    let express = peers::express(redis).await?;
    // The scripts and the hashes of totals must not count as memory of sessions.
    population.grow(scale.sizes[0] / 10).await?;

    let (mut rows, mut grown) = (Vec::<Row>::new(), Grown::default());
    for &size in scale.sizes {
        grown
            .grow(population, &mut meter, &mut scanned, size)
            .await?;
        let row = count(population, &mut meter, &mut scanned, &express, &grown, size).await?;
        if let Some(first) = rows.first() {
            ensure!(
                row.commands == first.commands,
                "the commands of a census grow with the sessions: {:?}",
                row.commands
            );
        }
        rows.push(row);
    }
    report(&rows);
    Ok(())
}

/// The memory that sessions take, those of the service and of connect-redis.
#[derive(Default)]
struct Grown {
    ours: f64,
    our_sessions: u64,
    theirs: f64,
    their_sessions: u64,
}

impl Grown {
    async fn grow(
        &mut self,
        population: &mut Population,
        meter: &mut Meter,
        scanned: &mut Meter,
        size: u64,
    ) -> anyhow::Result<()> {
        let (before, had) = (meter.memory()?, population.size);
        let seconds = population.grow(size).await?;
        let between = meter.memory()?;
        self.ours += between - before;
        self.our_sessions += size - had;
        scanning::grow(scanned.connection(), self.their_sessions, size)?;
        self.theirs += meter.memory()? - between;
        self.their_sessions = size;
        progress(format_args!(
            "{size} sessions: the last {} took {seconds:.1} s",
            size - had
        ));
        Ok(())
    }
}

async fn count(
    population: &Population,
    meter: &mut Meter,
    scanned: &mut Meter,
    express: &Server,
    grown: &Grown,
    size: u64,
) -> anyhow::Result<Row> {
    let (mut census, mut rounds, mut scan) = (Vec::new(), Vec::new(), Vec::new());
    let (mut census_cpu, mut scan_cpu, mut commands) = (0.0, 0.0, BTreeMap::new());
    for _ in 0..ROUNDS {
        let before = meter.read()?;
        let mut round = Vec::with_capacity(CENSUSES);
        for _ in 0..CENSUSES {
            let started_at = Instant::now();
            let counted = population.stores.sessions.census().await?;
            round.push(started_at.elapsed().as_secs_f64());
            ensure!(
                counted.sessions.iter().sum::<u64>() == size,
                "{counted:?} of {size}"
            );
            ensure!(counted.users == counted.sessions, "one session per user");
        }
        let spent = meter.since(&before)?;
        census_cpu += spent.cpu;
        commands = per_census(&spent.commands);
        census.extend(&round);
        rounds.push(median(round));

        let before = meter.read()?;
        let started_at = Instant::now();
        scanning::count(scanned.connection(), size)?;
        scan.push(started_at.elapsed().as_secs_f64());
        scan_cpu += meter.since(&before)?.cpu;
    }
    for growing in GROWING {
        ensure!(!commands.contains_key(*growing), "a census sends {growing}");
    }
    Ok(Row {
        size,
        census_cpu: census_cpu / (ROUNDS * CENSUSES) as f64,
        ratio: ratio(&scan, &rounds),
        census,
        commands,
        scan_cpu: scan_cpu / ROUNDS as f64,
        scan,
        scrape: scrape(express, size).await?,
        bytes: grown.ours / grown.our_sessions as f64,
        scanned_bytes: grown.theirs / grown.their_sessions as f64,
    })
}

/// Returns the commands of one census. The occasional housekeeping command of a connection is not part of it.
fn per_census(commands: &BTreeMap<String, (u64, u64)>) -> BTreeMap<String, u64> {
    let each = commands
        .iter()
        .map(|(name, (calls, _))| (name.clone(), calls / CENSUSES as u64));
    each.filter(|(_, calls)| *calls > 0).collect()
}

/// Returns the seconds that the peer needs to export its gauge.
async fn scrape(express: &Server, size: u64) -> anyhow::Result<f64> {
    let started_at = Instant::now();
    let answer = reqwest::Client::new()
        .get(express.url("/metrics"))
        .timeout(TIME_LIMIT)
        .send()
        .await?;
    let page = answer.error_for_status()?.text().await?;
    let taken = started_at.elapsed().as_secs_f64();
    let values = page.lines().filter(|line| line.starts_with("sessions{"));
    let values = values.map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    let counted: u64 = values.sum::<Option<u64>>().context("numbers")?;
    ensure!(
        counted == size,
        "the peer counts {counted} of {size}:\n{page}"
    );
    Ok(taken)
}

fn report(rows: &[Row]) {
    println!("## Counting live sessions by role\n");
    println!(
        "| live sessions | census, median | slowest of {} | Redis's time per census | SCAN + MGET + decode | Redis's time for it | times the census | prom-client on connect-redis |\n|---:|---:|---:|---:|---:|---:|---:|---:|",
        ROUNDS * CENSUSES
    );
    for row in rows {
        println!(
            "| {} | {:.2} ms | {:.2} ms | {:.2} ms | {:.0} ms | {:.0} ms | {:.0} | {:.0} ms |",
            thousands(row.size),
            median(row.census.clone()) * 1e3,
            row.census.iter().copied().fold(0.0, f64::max) * 1e3,
            row.census_cpu / 1e3,
            median(row.scan.clone()) * 1e3,
            row.scan_cpu / 1e3,
            row.ratio,
            row.scrape * 1e3,
        );
    }
    if let Some(row) = rows.last() {
        let commands = row
            .commands
            .iter()
            .map(|(name, calls)| format!("{calls} {}", name.to_uppercase()));
        println!(
            "\nA census is the same commands at every size: {}.",
            commands.collect::<Vec<_>>().join(", ")
        );
    }
    println!(
        "\n## Memory of a session\n\n| live sessions | ours, index included | connect-redis, no index |\n|---:|---:|---:|"
    );
    for row in rows {
        println!(
            "| {} | {:.0} B | {:.0} B |",
            thousands(row.size),
            row.bytes,
            row.scanned_bytes
        );
    }
}

/// Formats a number with commas between the thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups = groups.map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(",")
}
