//! A reading: the values of one `/metrics` page about logins, sessions and the demo's services.

#[cfg(test)]
use skriptoteket_core::metric::Label;

use super::{
    ledger::LoginAnswer,
    machines::Figures,
    series::{picked, sum},
};
use crate::{
    accounts::Role,
    login::{LoginFailure, metrics::LoginStatus},
    sessions::EndReason,
    telemetry::exposition::Exposition,
};

/// The values of the metrics at one moment. `None` is a series that is absent, for example because the store does not
/// respond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Login attempts, in the order of [`LoginStatus::NAMES`].
    pub(super) logins: [Option<u64>; LoginStatus::NAMES.len()],
    /// Failed login attempts, in the order of [`LoginFailure::NAMES`].
    pub(super) failures: [Option<u64>; LoginFailure::NAMES.len()],
    /// Responses to `POST /api/login` as the HTTP instruments counted them, in the order of [`LoginAnswer::ALL`].
    pub(super) answers: [u64; 5],
    /// Total of sessions started.
    pub(super) started: Option<u64>,
    /// Total of sessions ended, in the order of [`EndReason::NAMES`].
    pub(super) ended: [Option<u64>; EndReason::NAMES.len()],
    /// Live sessions.
    pub(super) active: Option<u64>,
    /// Live sessions, in the order of [`Role::NAMES`].
    pub(super) sessions: [Option<u64>; Role::NAMES.len()],
    /// Distinct users with a live session, in the order of [`Role::NAMES`].
    pub(super) users: [Option<u64>; Role::NAMES.len()],
    /// Healthy or degraded services, including those that are not the demo's.
    pub(super) active_services: Option<u64>,
    /// The figures of the demo's own services, in the order of [`NAMES`](super::machines::NAMES).
    pub(super) machines: [Figures; 3],
}

impl Reading {
    /// Reads a page; the demo's own services have these IDs.
    pub(super) fn of(page: &Exposition, machines: &[String; 3]) -> Self {
        let by = |name: &'static str, key: &'static str| {
            move |value: &'static str| sum(page, name, &[(key, value)])
        };
        Self {
            logins: LoginStatus::NAMES.map(by("skriptoteket_logins_total", "status")),
            failures: LoginFailure::NAMES.map(by("skriptoteket_login_failures_total", "reason")),
            answers: LoginAnswer::ALL.map(|answer| answered(page, answer)),
            started: sum(page, "skriptoteket_sessions_started_total", &[]),
            ended: EndReason::NAMES.map(by("skriptoteket_sessions_ended_total", "reason")),
            active: sum(page, "skriptoteket_active_sessions", &[]),
            sessions: Role::NAMES.map(by("skriptoteket_sessions_by_role", "role")),
            users: Role::NAMES.map(by("skriptoteket_users_by_role", "role")),
            active_services: sum(page, "skriptoteket_active_services", &[]),
            machines: machines.each_ref().map(|id| Figures::of(page, id)),
        }
    }

    /// Returns the number of failed logins with one of these reasons; `None` if one of the series is absent.
    pub(super) fn failed(&self, reasons: &[&str]) -> Option<u64> {
        picked(&LoginFailure::NAMES, &self.failures, reasons)
    }

    /// Returns the number of ended sessions with one of these reasons; `None` if one of the series is absent.
    pub(super) fn ended(&self, reasons: &[&str]) -> Option<u64> {
        picked(&EndReason::NAMES, &self.ended, reasons)
    }
}

/// The HTTP series appear with their first response, so an absent one is a zero.
fn answered(page: &Exposition, answer: LoginAnswer) -> u64 {
    let statuses = (100..600).filter(|status| LoginAnswer::of(*status) == Some(answer));
    statuses
        .filter_map(|status| {
            sum(
                page,
                "http_server_request_duration_seconds_count",
                &[
                    ("http_request_method", "POST"),
                    ("http_route", "/api/login"),
                    ("http_response_status_code", &status.to_string()),
                ],
            )
        })
        .sum()
}

/// Returns values of a label for tests: these, and `other` for the rest.
#[cfg(test)]
pub(super) fn values<L: Label, const N: usize>(other: u64, of: &[(L, u64)]) -> [Option<u64>; N] {
    let mut values = [Some(other); N];
    for (label, value) in of {
        values[label.index()] = Some(*value);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_by_label() {
        let page = Exposition::parse(
            r#"skriptoteket_logins_total{status="success"} 5
skriptoteket_login_failures_total{reason="account_locked"} 2
skriptoteket_login_failures_total{reason="rate_limited"} 3
skriptoteket_sessions_started_total{role="user"} 4
skriptoteket_sessions_started_total{role="admin"} 1
skriptoteket_sessions_ended_total{role="user",reason="idle"} 1
skriptoteket_sessions_ended_total{role="admin",reason="idle"} 1
skriptoteket_active_sessions 3
skriptoteket_users_by_role{role="superuser"} 0
http_server_request_duration_seconds_count{http_request_method="POST",http_response_status_code="500",http_route="/api/login",url_scheme="http"} 1
http_server_request_duration_seconds_count{http_request_method="POST",http_response_status_code="503",http_route="/api/login",url_scheme="http"} 1
http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/api/session",url_scheme="http"} 9
"#,
        );
        let reading = Reading::of(&page.unwrap(), &super::super::machines::ids(""));
        assert_eq!(reading.logins, [Some(5), None]);
        assert_eq!(reading.failed(&["account_locked", "rate_limited"]), Some(5));
        assert_eq!(reading.failed(&["account_locked", "banned"]), None);
        assert_eq!((reading.started, reading.active), (Some(5), Some(3)));
        assert_eq!(reading.ended(&["idle"]), Some(2));
        assert_eq!(reading.users, [None, None, None, Some(0)]);
        assert_eq!(reading.answers, [0, 0, 0, 0, 2]);
    }
}
