//! The cost of one decision of the limiter in Redis; tokens and decisions per second, for information.

use std::path::Path;

use anyhow::bail;
use skriptoteket_testing::{
    load::{meter::Meter, wrk},
    redis::RedisServer,
};

use super::{
    Scale,
    issuer::{Credential, Issuer, answer, bearers, script},
};

/// Number of decisions that are counted.
const DECISIONS: u64 = 200;

/// Maximum number of attempts to count them.
const TRIES: usize = 50;

/// Commands that the script of a decision calls within Redis.
const IN_THE_SCRIPT: [&str; 3] = ["get", "set", "time"];

pub(crate) async fn measure(dir: &Path, scale: Scale) -> anyhow::Result<()> {
    let redis = RedisServer::start(&[]);
    let url = redis.url();
    // Only the decisions use Redis.
    let shared = [
        ("SKRIPTOTEKET_REDIS_URL", url.as_str()),
        ("SKRIPTOTEKET_CENSUS_INTERVAL", "1h"),
    ];
    let shared = Issuer::start(&dir.join("redis"), &shared).await?;
    println!("\n# Limits and tokens\n");
    count_commands(&shared, &redis).await?;

    let embedded = Issuer::start(&dir.join("embedded"), &[]).await?;
    let es256 = [("SKRIPTOTEKET_TOKEN_ALGORITHM", "ES256")];
    let es256 = Issuer::start(&dir.join("es256"), &es256).await?;
    println!("\n| for information | requests/s |\n|---|---:|");
    for (name, issuer) in [
        ("tokens, EdDSA, limits in SQLite", &embedded),
        ("tokens, ES256, limits in SQLite", &es256),
        ("tokens, EdDSA, limits in Redis", &shared),
    ] {
        let form = String::from("grant_type=client_credentials");
        let basic = issuer.machines[0].basic.clone();
        let rate = load(dir, issuer, "/oauth2/token", &[(basic, form)], scale)?;
        println!("| {name} | {rate:.0} |");
    }
    for (name, issuer, what) in [
        ("limit checks, SQLite", &embedded, "check"),
        ("limit checks, Redis", &shared, "check"),
        ("heartbeats, SQLite", &embedded, "heartbeat"),
    ] {
        let path = format!("/api/services/{}/{what}", issuer.machines[0].id);
        let token = bearers(&issuer.tokens(1).await?);
        let rate = load(dir, issuer, &path, &token, scale)?;
        println!("| {name} | {rate:.0} |");
    }
    Ok(())
}

fn load(
    dir: &Path,
    issuer: &Issuer,
    path: &str,
    credentials: &[Credential],
    scale: Scale,
) -> anyhow::Result<f64> {
    let script = script(dir, "limits.lua", "POST", credentials)?;
    Ok(wrk(&issuer.server.url(path), &script, scale.seconds)?.rate)
}

/// Requests decisions one after the other. Each has to be one call of a script, and one packet that Redis reads.
async fn count_commands(issuer: &Issuer, redis: &RedisServer) -> anyhow::Result<()> {
    let token = issuer.tokens(1).await?.remove(0);
    let path = format!("/api/services/{}/check", issuer.machines[0].id);
    let client = reqwest::Client::new();
    let check = || answer(client.post(issuer.server.url(&path)).bearer_auth(&token));
    // The first request may have to load the script.
    check().await?;
    let mut meter = Meter::open(&redis.url())?;
    let mut heard = String::new();
    // Now and then the service sends other commands, for example to count sessions. An attempt without them shows the
    // cost of a decision. A command that belongs to every decision is in all attempts.
    for _ in 0..TRIES {
        let reads_before = reads(redis)?;
        let before = meter.read()?;
        for _ in 0..DECISIONS {
            check().await?;
        }
        let spent = meter.since(&before)?;
        let reads = reads(redis)? - reads_before;
        let scripts = spent.commands.get("evalsha").map_or(0, |(calls, _)| *calls);
        let mut names = spent.commands.keys().map(String::as_str);
        let alone = names.all(|it| it == "evalsha" || IN_THE_SCRIPT.contains(&it));
        if scripts == DECISIONS && alone {
            println!(
                "{DECISIONS} decisions on Redis: {scripts} EVALSHA and nothing else, {reads} reads of its sockets with those of the count."
            );
            return Ok(());
        }
        heard = format!("{:?}", spent.commands);
    }
    bail!("{DECISIONS} decisions were not {DECISIONS} EVALSHA alone: {heard}")
}

fn reads(redis: &RedisServer) -> anyhow::Result<u64> {
    Ok(redis.info("stats", "total_reads_processed").parse()?)
}
