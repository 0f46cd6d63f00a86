//! Requests with an access token, and introspection, on the embedded store.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use skriptoteket_testing::load::{Server, promises::Promises};

use super::{
    Scale,
    applications::{self, INTROSPECT, INTROSPECTION, Way},
    issuer::{Issuer, answer, bearers, script},
    ours::CHECK,
    rounds::{self, Case, PROCESSES},
};

/// Tokens over which the load is spread.
const TOKENS: usize = 1_000;

/// The promised time until a revocation takes effect.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// How long the benchmark waits for it.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// The promised maximum of processor time per request with a token, as a multiple of that of the bare handler.
const VERIFICATION: f64 = 1.0 / 0.6;

/// The same for introspection.
const INTROSPECTION_COST: f64 = 1.0 / 0.3;

/// The promised maximum of processor time per request, as a multiple of that without metrics.
const METRICS: f64 = 1.03;

pub(crate) async fn compare(
    dir: &Path,
    scale: Scale,
    promises: &mut Promises,
) -> anyhow::Result<()> {
    let issuer = Issuer::start(dir, &[]).await?;
    let tokens = issuer.tokens(TOKENS).await?;
    let bare = applications::bare().await?;
    let verified = verification(dir, &issuer, &bare, &tokens, (scale, &mut *promises)).await;
    promises.ended("requests with an access token", verified);
    let tried = introspection(dir, &issuer, &bare, &tokens, (scale, &mut *promises)).await;
    promises.ended("introspection", tried);
    Ok(())
}

async fn verification(
    dir: &Path,
    issuer: &Issuer,
    bare: &Server,
    tokens: &[String],
    (scale, promises): (Scale, &mut Promises),
) -> anyhow::Result<()> {
    let on = applications::with_bearer(issuer, Way::Store, true).await?;
    let off = applications::with_bearer(issuer, Way::Store, false).await?;
    let keys = applications::with_bearer(issuer, Way::Keys, true).await?;
    for server in [&on, &off, &keys] {
        let expected = get(bare, &tokens[0]).await?.text().await?;
        ensure!(
            get(server, &tokens[0]).await?.text().await? == expected,
            "the application answers"
        );
        ensure!(
            get(server, "a.b.c").await?.status() == 401,
            "the application asks for a token"
        );
    }
    let one = script(dir, "one.lua", "GET", &bearers(&tokens[..1]))?;
    let many = script(dir, "many.lua", "GET", &bearers(tokens))?;
    let mut cases = [
        Case::new("bare handler, one token", bare, CHECK, &one, 0),
        Case::new("register, one token", &on, CHECK, &one, 0).costs_at_most(VERIFICATION),
        Case::new("public keys, one token", &keys, CHECK, &one, 0).costs_at_most(VERIFICATION),
        Case::new("bare handler, 1,000 tokens", bare, CHECK, &many, 3),
        Case::new("register, 1,000 tokens", &on, CHECK, &many, 3).costs_at_most(VERIFICATION),
        Case::new("public keys, 1,000 tokens", &keys, CHECK, &many, 3).costs_at_most(VERIFICATION),
    ];
    let what =
        "Requests with an access token to another application, whose handler takes ServiceIdentity";
    rounds::compare(what, &mut cases, scale, promises)?;
    let (mut more_on, mut more_off) = (Vec::new(), Vec::new());
    for _ in 1..PROCESSES {
        more_off.push(applications::with_bearer(issuer, Way::Store, false).await?);
        more_on.push(applications::with_bearer(issuer, Way::Store, true).await?);
    }
    let off = Case::new("metrics off", &off, CHECK, &many, 0).and_all(&more_off, CHECK, &many);
    let on_all = Case::new("metrics on", &on, CHECK, &many, 0).and_all(&more_on, CHECK, &many);
    let mut cases = [off, on_all.costs_at_most(METRICS)];
    let what = "The same, what the metrics cost: register, 1,000 tokens";
    rounds::compare(what, &mut cases, scale.in_small_turns(), promises)?;
    revocation(issuer, &on, &tokens[0], promises).await
}

/// Revokes a token at the issuer, and waits until the other application rejects it.
async fn revocation(
    issuer: &Issuer,
    other: &Server,
    token: &str,
    promises: &mut Promises,
) -> anyhow::Result<()> {
    let form = format!("token={token}");
    let request = issuer.ask(&issuer.machines[0], "/oauth2/revoke", form);
    request.send().await?.error_for_status()?;
    let revoked = Instant::now();
    while get(other, token).await?.status() != 401 {
        ensure!(
            revoked.elapsed() < TIME_LIMIT,
            "the revocation did not take effect"
        );
    }
    let seen = format!(
        "a revoked token was refused by the other application after {:.3} s",
        revoked.elapsed().as_secs_f64()
    );
    println!("\n{seen}.");
    let line = format!("{seen}; promised: within {SEEN_WITHIN:?}");
    promises.hold(revoked.elapsed() < SEEN_WITHIN, line);
    Ok(())
}

async fn introspection(
    dir: &Path,
    issuer: &Issuer,
    bare: &Server,
    tokens: &[String],
    (scale, promises): (Scale, &mut Promises),
) -> anyhow::Result<()> {
    let machine = &issuer.machines[1];
    // The first token is revoked by now.
    let tokens = &tokens[1..];
    let form = |token: &String| (machine.basic.clone(), format!("token={token}"));
    let forms: Vec<_> = tokens.iter().map(form).collect();
    let said = answer(issuer.ask(machine, INTROSPECT, forms[0].1.clone())).await?;
    ensure!(said["active"] == true, "the token is active");
    let length = said.to_string().len();
    ensure!(
        length.abs_diff(INTROSPECTION.len()) <= 8,
        "responses differ in length: {said}"
    );
    let one = script(dir, "introspect.lua", "POST", &forms[..1])?;
    let many = script(dir, "introspect-many.lua", "POST", &forms)?;
    let mut cases = [
        Case::new("bare handler, one token", bare, INTROSPECT, &one, 0),
        Case::new(
            "introspection, one token",
            &issuer.server,
            INTROSPECT,
            &one,
            0,
        )
        .costs_at_most(INTROSPECTION_COST),
        Case::new("bare handler, 1,000 tokens", bare, INTROSPECT, &many, 2),
        Case::new(
            "introspection, 1,000 tokens",
            &issuer.server,
            INTROSPECT,
            &many,
            2,
        )
        .costs_at_most(INTROSPECTION_COST),
    ];
    let what = "Introspection, POST /oauth2/introspect with Basic and a form; the bare handler takes the same and looks at nothing";
    rounds::compare(what, &mut cases, scale, promises)
}

async fn get(server: &Server, token: &str) -> anyhow::Result<reqwest::Response> {
    let request = reqwest::Client::new().get(server.url(CHECK));
    Ok(request.bearer_auth(token).send().await?)
}
