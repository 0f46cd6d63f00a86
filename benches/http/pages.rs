//! The login page, beside a bare handler that sends as many bytes.

use std::path::Path;

use anyhow::ensure;
use skriptoteket_testing::load::{promises::Promises, write_script};

use super::{
    Scale,
    applications::{self, BYTES},
    ours::start_ours,
    rounds::{self, Case},
};

const LOGIN: &str = "/login";

/// A browser asks for the page, in a language that the page has.
const SCRIPT: &str = r#"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
wrk.headers["Accept-Language"] = "sv-SE,sv;q=0.9,en;q=0.8"
"#;

pub(crate) async fn compare(
    dir: &Path,
    scale: Scale,
    promises: &mut Promises,
) -> anyhow::Result<()> {
    let ours = start_ours(dir, &[]).await?;
    let bare = applications::bare().await?;
    let script = write_script(dir, "page.lua", SCRIPT)?;
    let page = reqwest::Client::new()
        .get(ours.url(LOGIN))
        .header("accept-language", "sv-SE,sv;q=0.9,en;q=0.8")
        .send()
        .await?
        .error_for_status()?;
    let page = page.text().await?;
    ensure!(page.contains("Logga in"), "the login page answers");
    let as_many_bytes = format!("{BYTES}/{}", page.len());
    let mut cases = [
        Case::new(
            "bare handler, as many bytes",
            &bare,
            &as_many_bytes,
            &script,
            0,
        ),
        Case::new("login page", &ours, LOGIN, &script, 0).costs_at_most(1.0 / 0.6),
    ];
    let what = "The login page, GET /login";
    rounds::compare(what, &mut cases, scale, promises)
}
