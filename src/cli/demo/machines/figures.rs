//! The values of one `/metrics` page about a machine.

use crate::{
    services::{AuthFailureReason, Health, LimitType},
    telemetry::exposition::Exposition,
};

use crate::cli::demo::series::{picked, sum};

/// The values of the metrics about one machine at one moment. `None` is a series that is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli::demo) struct Figures {
    /// Authentications that succeeded.
    pub(in crate::cli::demo) authenticated: Option<u64>,
    /// Authentications that failed, in the order of [`AuthFailureReason::NAMES`].
    pub(in crate::cli::demo) refused: [Option<u64>; AuthFailureReason::NAMES.len()],
    /// Tokens that were checked and valid.
    pub(in crate::cli::demo) valid_tokens: Option<u64>,
    /// Requests that a limit has rejected.
    pub(in crate::cli::demo) over_limit: Option<u64>,
    /// Authentications with a replaced secret.
    pub(in crate::cli::demo) retired: Option<u64>,
    /// Usage and size of its limits, in the order of [`LimitType::NAMES`].
    pub(in crate::cli::demo) limits: [(Option<u64>, Option<u64>); LimitType::NAMES.len()],
    /// Its health.
    pub(in crate::cli::demo) health: Option<&'static str>,
}

impl Figures {
    /// Reads the values of the machine with this ID.
    pub(in crate::cli::demo) fn of(page: &Exposition, id: &str) -> Self {
        let own = ("service_id", id);
        let total = |name| sum(page, name, &[own]);
        let by = |name, key, value: &'static str| sum(page, name, &[own, (key, value)]);
        let is =
            |health: &&&'static str| by("skriptoteket_service_health", "health", health) == Some(1);
        Self {
            authenticated: total("skriptoteket_successful_auths_total"),
            refused: AuthFailureReason::NAMES
                .map(|it| by("skriptoteket_failed_auths_total", "reason", it)),
            valid_tokens: by("skriptoteket_token_verifications_total", "status", "valid"),
            over_limit: total("skriptoteket_rate_limit_exceeded_total"),
            retired: total("skriptoteket_retired_credential_uses_total"),
            limits: LimitType::NAMES.map(|limit| {
                let of = |name| by(name, "limit_type", limit);
                (
                    of("skriptoteket_rate_limit_current"),
                    of("skriptoteket_rate_limit_allowed"),
                )
            }),
            health: Health::NAMES.iter().find(is).copied(),
        }
    }

    /// Returns the number of failed authentications with one of these reasons; `None` if one of the series is absent.
    pub(in crate::cli::demo) fn failed(&self, reasons: &[&str]) -> Option<u64> {
        picked(&AuthFailureReason::NAMES, &self.refused, reasons)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_the_machine_is_read() {
        let page = Exposition::parse(
            r#"skriptoteket_successful_auths_total{service_id="a"} 5
skriptoteket_successful_auths_total{service_id="b"} 7
skriptoteket_failed_auths_total{service_id="a",reason="bad_secret"} 2
skriptoteket_failed_auths_total{service_id="a",reason="rate_limited"} 1
skriptoteket_failed_auths_total{service_id="_other",reason="bad_secret"} 9
skriptoteket_token_verifications_total{service_id="a",status="valid"} 4
skriptoteket_rate_limit_exceeded_total{service_id="a",limit_type="requests"} 1
skriptoteket_rate_limit_exceeded_total{service_id="a",limit_type="daily_quota"} 2
skriptoteket_rate_limit_current{service_id="a",limit_type="requests"} 3
skriptoteket_rate_limit_allowed{service_id="a",limit_type="requests"} 5
skriptoteket_service_health{service_id="a",health="healthy"} 0
skriptoteket_service_health{service_id="a",health="stale"} 1
"#,
        )
        .unwrap();
        let figures = Figures::of(&page, "a");
        assert_eq!(
            (figures.authenticated, figures.over_limit),
            (Some(5), Some(3))
        );
        assert_eq!(figures.failed(&["bad_secret", "rate_limited"]), Some(3));
        assert_eq!(figures.failed(&["disabled"]), None);
        assert_eq!((figures.valid_tokens, figures.retired), (Some(4), None));
        assert_eq!(figures.limits, [(Some(3), Some(5)), (None, None)]);
        assert_eq!(figures.health, Some("stale"));
    }
}
