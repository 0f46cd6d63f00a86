//! Session checks on the embedded store.

use std::path::Path;

use anyhow::ensure;
use serde_json::Value;
use skriptoteket_testing::load::{CHEAP_LOGINS, Server, cookie_script, promises::Promises};

use super::{
    Scale, applications,
    ours::{CHECK, start_ours},
    rounds::{self, Case},
};

/// Sessions over which the load is spread.
const SESSIONS: usize = 1_000;

pub(crate) async fn compare(
    dir: &Path,
    scale: Scale,
    promises: &mut Promises,
) -> anyhow::Result<()> {
    // Hashing is not measured here, and a thousand sessions have to be started.
    let off = [CHEAP_LOGINS, &[("OTEL_SDK_DISABLED", "true")]].concat();
    let bare = applications::bare().await?;
    let on = start_ours(&dir.join("on"), CHEAP_LOGINS).await?;
    let off = start_ours(&dir.join("off"), &off).await?;
    let mut cookies = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        cookies.push(on.login().await?);
    }
    check_answer(&on, &cookies[0]).await?;
    let one = cookie_script(dir, "one.lua", &cookies[..1])?;
    let many = cookie_script(dir, "many.lua", &cookies)?;
    let without = cookie_script(dir, "off.lua", &[off.login().await?])?;
    let mut cases = [
        Case::new("bare actix-web handler", &bare, CHECK, &one, 0),
        Case::new("session check, one session", &on, CHECK, &one, 0),
        Case::new(
            "session check, 1,000 sessions in turn",
            &on,
            CHECK,
            &many,
            0,
        ),
    ];
    let what = "Session checks, GET /api/session";
    rounds::compare(what, &mut cases, scale, promises)?;
    let mut cases = [
        Case::new("instruments off", &off, CHECK, &without, 0),
        Case::new("instruments on", &on, CHECK, &one, 0),
    ];
    let what = "Session checks, what the instruments cost";
    rounds::compare(what, &mut cases, scale.in_small_turns(), promises)
}

async fn check_answer(server: &Server, cookie: &str) -> anyhow::Result<()> {
    let answer = reqwest::Client::new()
        .get(server.url(CHECK))
        .header("cookie", cookie)
        .send()
        .await?
        .error_for_status()?;
    let body: Value = serde_json::from_str(&answer.text().await?)?;
    ensure!(body["user"]["username"] == "admin", "the session answers");
    Ok(())
}
