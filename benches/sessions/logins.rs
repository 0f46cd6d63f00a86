//! Logins per second, with the census on and off.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use skriptoteket::accounts::{NewAccount, Profile, Role};
use skriptoteket_testing::{
    load::{CONNECTIONS, Server, median, ratio, write_script, wrk},
    redis::RedisServer,
    service::PASSWORD,
};

use super::{
    Meter, Scale,
    checks::{SERVICE, our_service},
    counting::thousands,
    peers, population, progress,
};

/// Users who log in, in turn.
const USERS: usize = 2_000;

/// The key of the observer lease; see `crates/redis/src/keys.rs`.
const LEASE: &str = "{skriptoteket:observer}:lease";

/// Maximum time until a replica notices that the lease is held by another replica, or free.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Loads one service in turn while it holds the lease, and while another holder does, so that the service does not
/// count.
pub(crate) async fn compare(dir: &Path, redis: &RedisServer, scale: Scale) -> anyhow::Result<()> {
    let dir = dir.join(SERVICE);
    let service = our_service(&dir, redis).await?;
    add_users(&dir, redis).await?;
    let script = write_script(&dir, "login.lua", &login_script())?;
    let mut meter = Meter::open(&redis.url())?;
    let live = redis::cmd("DBSIZE").query::<u64>(meter.connection())?;

    let (mut on, mut off, mut counted) = (Vec::new(), Vec::new(), [0_u64; 2]);
    // The first round warms up: accounts and scripts are loaded into memory.
    for round in 0..=scale.rounds {
        let order = if round % 2 == 0 {
            [true, false]
        } else {
            [false, true]
        };
        for observing in order {
            give_lease(&mut meter, &service, observing).await?;
            let before = meter.read()?;
            let rate = wrk(&service.url("/api/login"), &script, scale.seconds)?.rate;
            let spent = meter.since(&before)?;
            let counts = spent.commands.get("zcount").map_or(0, |(calls, _)| *calls);
            if round == 0 {
                continue;
            }
            if observing {
                on.push(rate);
                counted[0] += counts;
            } else {
                off.push(rate);
                counted[1] += counts;
            }
        }
        if let (Some(on), Some(off)) = (on.last(), off.last()) {
            progress(format_args!(
                "logins, round {round}: {on:.0} on, {off:.0} off"
            ));
        }
    }
    ensure!(counted[0] > 0, "the census was on");
    ensure!(
        counted[1] == 0,
        "the census was off, and ZCOUNT was called {} times",
        counted[1]
    );
    println!(
        "\n## Logins with the census on and off\n\n`POST /api/login`, wrk with 2 threads and {CONNECTIONS} connections, {} rounds of {} s each, {} keys in Redis at the \
         start, password hashing at next to no cost. Off: another replica holds the lease.\n",
        scale.rounds,
        scale.seconds,
        thousands(live)
    );
    println!("| census | logins per second, median | ratio |\n|---|---:|---:|");
    println!("| off | {:.0} | 1 |", median(off.clone()));
    println!(
        "| on | {:.0} | {:.3} |",
        median(on.clone()),
        ratio(&on, &off)
    );
    Ok(())
}

/// Adds users with the superuser's password to the accounts of the service.
async fn add_users(dir: &Path, redis: &RedisServer) -> anyhow::Result<()> {
    let stores = population::open(&dir.join("data"), &peers::our_url(redis)).await?;
    let admin = stores.accounts.find_by_username(&"admin".parse()?).await?;
    let admin = admin.context("the superuser")?;
    for n in 1..=USERS {
        let account = NewAccount {
            username: format!("bench{n}").parse()?,
            role: Role::User,
            profile: Profile::default(),
            password_hash: admin.password_hash.clone(),
        };
        stores.accounts.add(account).await?;
    }
    stores.close().await;
    Ok(())
}

/// Returns a script that logs in one user after the other. The two threads start at different users.
fn login_script() -> String {
    format!(
        "math.randomseed(tonumber(tostring({{}}):match('0x(%x+)'), 16) % 2147483648)\n\
         local n = math.random({USERS})\n\
         local headers = {{['Content-Type'] = 'application/json'}}\n\
         request = function()\n  n = n % {USERS} + 1\n  \
         local body = '{{\"username\":\"bench' .. n .. '\",\"password\":\"{PASSWORD}\"}}'\n  \
         return wrk.format('POST', nil, headers, body)\nend\n"
    )
}

/// Gives the lease to the service, or to another holder, and waits until the service notices.
async fn give_lease(meter: &mut Meter, service: &Server, to_service: bool) -> anyhow::Result<()> {
    if to_service {
        let holder: Option<String> = redis::cmd("GET").arg(LEASE).query(meter.connection())?;
        if holder.as_deref() == Some("another holder") {
            redis::cmd("DEL")
                .arg(LEASE)
                .query::<()>(meter.connection())?;
        }
    } else {
        redis::cmd("SET")
            .arg(LEASE)
            .arg("another holder")
            .query::<()>(meter.connection())?;
    }
    let started_at = Instant::now();
    while observes(service).await? != to_service {
        ensure!(
            started_at.elapsed() < TIME_LIMIT,
            "the change of the lease was not noticed in time"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Returns whether the service reports that it is the observer.
async fn observes(service: &Server) -> anyhow::Result<bool> {
    let page = reqwest::get(service.management("/metrics"))
        .await?
        .text()
        .await?;
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix("skriptoteket_session_observer "));
    Ok(value.context("skriptoteket_session_observer")?.trim() == "1")
}
