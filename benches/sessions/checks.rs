//! Session checks: those of the service, actix-session's own Redis store, express-session, and a handler that checks
//! nothing.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use skriptoteket_testing::{
    load::{CHEAP_LOGINS, CONNECTIONS, Server, cookie_of, cookie_script, median, ratio, wrk},
    ports::free_port,
    redis::RedisServer,
};

use super::{Meter, Scale, peers, progress};

/// The directory of the service. Every service on one Redis shares the accounts database in it.
pub(crate) const SERVICE: &str = "service";

const CHECK: &str = "/api/session";

/// Sessions over which the load is spread.
const SESSIONS: usize = 1_000;

/// One server under one load.
struct Case {
    name: &'static str,
    url: String,
    script: PathBuf,
    rates: Vec<f64>,
    /// Over all rounds.
    requests: f64,
    redis_cpu: f64,
}

impl Case {
    fn new(name: &'static str, url: String, script: &Path) -> Self {
        Self {
            name,
            url,
            script: script.to_owned(),
            rates: Vec::new(),
            requests: 0.0,
            redis_cpu: 0.0,
        }
    }

    fn round(&mut self, meter: &mut Meter, seconds: u32) -> anyhow::Result<()> {
        let before = meter.read()?;
        let load = wrk(&self.url, &self.script, seconds)?;
        let spent = meter.since(&before)?;
        self.rates.push(load.rate);
        self.requests += load.requests;
        self.redis_cpu += spent.cpu;
        Ok(())
    }
}

/// Loads the servers in turn and prints the comparison.
pub(crate) async fn compare(dir: &Path, redis: &RedisServer, scale: Scale) -> anyhow::Result<()> {
    let ours = our_service(&dir.join(SERVICE), redis).await?;
    let (stock, bare) = peers::stock_and_bare(redis).await?;
    let express = peers::express(redis).await?;

    let mut our_cookies = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        our_cookies.push(ours.login().await?);
    }
    let stock_cookies = cookies_of(&stock).await?;
    let express_cookies = cookies_of(&express).await?;
    let answers = [
        answer(&ours.url(CHECK), &our_cookies[0]).await?,
        answer(&stock.url(CHECK), &stock_cookies[0]).await?,
        answer(&express.url(CHECK), &express_cookies[0]).await?,
        answer(&format!("{bare}{CHECK}"), "").await?,
    ];
    // The service's response is sometimes a few bytes shorter: trailing zeros of a time are omitted.
    let first = answers[0].len();
    ensure!(
        answers
            .iter()
            .all(|answer| answer.len().abs_diff(first) <= 8),
        "responses differ in length: {answers:?}"
    );

    let one = cookie_script(dir, "one.lua", &our_cookies[..1])?;
    let many = cookie_script(dir, "many.lua", &our_cookies)?;
    let many_stock = cookie_script(dir, "stock.lua", &stock_cookies)?;
    let many_express = cookie_script(dir, "express.lua", &express_cookies)?;
    let mut cases = [
        Case::new(
            "bare actix-web handler, no sessions",
            format!("{bare}{CHECK}"),
            &many,
        ),
        Case::new("Skriptoteket", ours.url(CHECK), &many),
        Case::new("Skriptoteket, all with one session", ours.url(CHECK), &one),
        Case::new(
            "actix-session, its `RedisSessionStore`",
            stock.url(CHECK),
            &many_stock,
        ),
        Case::new(
            "express-session, connect-redis",
            express.url(CHECK),
            &many_express,
        ),
    ];
    let mut meter = Meter::open(&redis.url())?;
    for round in 1..=scale.rounds {
        for case in &mut cases {
            case.round(&mut meter, scale.seconds)?;
        }
        let rates: Vec<_> = cases
            .iter()
            .filter_map(|case| case.rates.last())
            .map(|rate| rate.round())
            .collect();
        progress(format_args!("checks, round {round}: {rates:?} requests/s"));
    }
    report(&cases, scale);
    Ok(())
}

/// Starts the service on this Redis, set up for many cheap logins.
pub(crate) async fn our_service(dir: &Path, redis: &RedisServer) -> anyhow::Result<Server> {
    std::fs::create_dir_all(dir)?;
    let url = peers::our_url(redis);
    let of_store = [
        ("SKRIPTOTEKET_REDIS_URL", url.as_str()),
        // The processors are shared with `wrk`: a delay affects all servers, and is not a failure.
        ("SKRIPTOTEKET_STORE_TIMEOUT", "5s"),
    ];
    let settings = [CHEAP_LOGINS, &of_store].concat();
    let mut server = Server::skriptoteket(dir, [free_port(), free_port()], &settings)?;
    server.ready().await?;
    Ok(server)
}

async fn cookies_of(peer: &Server) -> anyhow::Result<Vec<String>> {
    let client = reqwest::Client::new();
    let mut cookies = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        cookies.push(cookie_of(client.post(peer.url("/login"))).await?);
    }
    Ok(cookies)
}

async fn answer(url: &str, cookie: &str) -> anyhow::Result<String> {
    let request = reqwest::Client::new().get(url).header("cookie", cookie);
    Ok(request.send().await?.error_for_status()?.text().await?)
}

fn report(cases: &[Case; 5], scale: Scale) {
    println!(
        "\n## Session checks\n\n`GET /api/session`, wrk with 2 threads and {CONNECTIONS} connections, {} rounds of {} s each, {SESSIONS} sessions in turn. \
         Each server has two workers and the same Redis.\n",
        scale.rounds, scale.seconds
    );
    println!(
        "| server | requests per second, median | of the bare handler | Skriptoteket to it | Redis's time per check |\n|---|---:|---:|---:|---:|"
    );
    for case in cases {
        println!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.1} µs |",
            case.name,
            median(case.rates.clone()),
            ratio(&case.rates, &cases[0].rates),
            ratio(&cases[1].rates, &case.rates),
            case.redis_cpu / case.requests,
        );
    }
}
