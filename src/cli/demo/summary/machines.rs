//! The services' part of the summary.
//!
//! Their IDs are the demo's own, so no other calls are counted here, and none from before the run.

use super::{Row, between, shown};
use crate::{
    cli::demo::{
        machines::{Calls, Figures, Refusal},
        reading::Reading,
    },
    services::AuthFailureReason,
};

/// Compares the counters of services with the ledger, and the gauge with the listed services.
pub(super) fn rows(calls: &Calls, after: &Reading, active: u64) -> Vec<Row> {
    let total = |of: fn(&Figures) -> Option<u64>| after.machines.iter().map(of).sum();
    let failed = |reasons: &[&str]| after.machines.iter().map(|it| it.failed(reasons)).sum();
    let row = |what, known, said| between(what, known, calls.unclear, said);
    let reason =
        |what, refusal: Refusal, reasons: &[&str]| row(what, calls.of(refusal), failed(reasons));
    vec![
        row(
            "service authentications that succeeded",
            calls.authenticated,
            total(|figures| figures.authenticated),
        ),
        row(
            "service authentications that failed",
            calls.not_authenticated(),
            failed(&AuthFailureReason::NAMES),
        ),
        reason(
            "  wrong secret (401)",
            Refusal::WrongSecret,
            &["bad_secret"],
        ),
        reason(
            "  replaced secret that has expired (401)",
            Refusal::RetiredSecret,
            &["expired_credential"],
        ),
        reason(
            "  token expired or revoked (401)",
            Refusal::Token,
            &["expired_token", "revoked_token"],
        ),
        reason(
            "  too many token requests (429)",
            Refusal::Limited,
            &["rate_limited"],
        ),
        row(
            "valid tokens of services",
            calls.by_token,
            total(|figures| figures.valid_tokens),
        ),
        row(
            "requests over a limit (429)",
            calls.over_limit,
            total(|figures| figures.over_limit),
        ),
        row(
            "replaced secrets used",
            calls.retired,
            total(|figures| figures.retired),
        ),
        Row {
            what: "active services, listed one by one",
            known: active.to_string(),
            said: shown(after.active_services),
            same: after.active_services == Some(active),
            follows: true,
        },
    ]
}
