//! The catalogue: what there is to see, in one list.

use super::{END_REASONS, FAILURE_REASONS, LOGIN_STATUSES, ROLES};

/// What an instrument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises; recorded as things happen.
    Counter,
    /// Only rises; read from a snapshot when collected.
    ObservableCounter,
    /// Goes up and down; read from a snapshot when collected.
    ObservableGauge,
    /// Goes up and down and adds up over instances; read when collected.
    ObservableUpDownCounter,
    /// A distribution.
    Histogram,
}

/// Whose truth a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The same truth whichever replica tells it, and one of them does: take `max` over instances.
    ServiceWide,
    /// This process's own: take `sum` over instances.
    PerInstance,
}

/// The values that an attribute can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these.
    Closed(&'static [&'static str]),
    /// One of a small set that the program defines elsewhere; in words.
    Bounded(&'static str),
}

/// An attribute of an instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The OpenTelemetry name; in Prometheus dots become underscores.
    pub key: &'static str,
    /// Its values.
    pub values: Values,
}

/// An instrument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// The OpenTelemetry name.
    pub name: &'static str,
    /// The Prometheus name, of the `/metrics` page and of the Collector alike.
    pub prometheus: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The UCUM unit, or a braced singular.
    pub unit: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
    /// What it tells, in one line.
    pub meaning: &'static str,
    /// Whose truth it is.
    pub scope: Scope,
}

const fn closed(key: &'static str, values: &'static [&'static str]) -> Attribute {
    Attribute {
        key,
        values: Values::Closed(values),
    }
}

const ROLE: Attribute = closed("role", &ROLES);

/// Values of `result` of a password check.
pub(super) const PASSWORD_RESULTS: [&str; 3] = ["match", "mismatch", "overloaded"];

/// HTTP methods that are a label value; all others are `_OTHER`, as the semantic conventions have it.
pub(super) const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "_OTHER",
];

/// Values of `url.scheme`.
pub(super) const SCHEMES: [&str; 2] = ["http", "https"];

/// Values of `store`.
pub(super) const STORES: [&str; 4] = ["accounts", "sessions", "limits", "audit"];

/// Values of `error.type` of a store operation; empty (no label) where it went well.
pub(super) const STORE_ERRORS: [&str; 4] = ["", "unavailable", "conflict", "corrupt"];

const METHOD: Attribute = closed("http.request.method", &METHODS);
const SCHEME: Attribute = closed("url.scheme", &SCHEMES);

/// Every instrument of the crate.
pub const CATALOGUE: &[Instrument] = &[
    Instrument {
        name: "skriptoteket.active_sessions",
        prometheus: "skriptoteket_active_sessions",
        kind: Kind::ObservableGauge,
        unit: "{session}",
        attributes: &[],
        meaning: "Live sessions",
        scope: Scope::ServiceWide,
    },
    Instrument {
        name: "skriptoteket.sessions_by_role",
        prometheus: "skriptoteket_sessions_by_role",
        kind: Kind::ObservableGauge,
        unit: "{session}",
        attributes: &[ROLE],
        meaning: "Live sessions by role",
        scope: Scope::ServiceWide,
    },
    Instrument {
        name: "skriptoteket.users_by_role",
        prometheus: "skriptoteket_users_by_role",
        kind: Kind::ObservableGauge,
        unit: "{user}",
        attributes: &[ROLE],
        meaning: "Distinct users with a live session, by role",
        scope: Scope::ServiceWide,
    },
    Instrument {
        name: "skriptoteket.logins",
        prometheus: "skriptoteket_logins_total",
        kind: Kind::Counter,
        unit: "{login}",
        attributes: &[closed("status", &LOGIN_STATUSES)],
        meaning: "Login attempts by outcome",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "skriptoteket.login_failures",
        prometheus: "skriptoteket_login_failures_total",
        kind: Kind::Counter,
        unit: "{login}",
        attributes: &[closed("reason", &FAILURE_REASONS)],
        meaning: "Failed login attempts by reason",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "skriptoteket.login_duration",
        prometheus: "skriptoteket_login_duration_seconds",
        kind: Kind::Histogram,
        unit: "s",
        attributes: &[closed("status", &LOGIN_STATUSES)],
        meaning: "How long a login attempt took",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "skriptoteket.password_checks",
        prometheus: "skriptoteket_password_checks_total",
        kind: Kind::Counter,
        unit: "{check}",
        attributes: &[closed("result", &PASSWORD_RESULTS)],
        meaning: "Password checks by result; overloaded = refused because the queue was full",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "skriptoteket.audit_events_dropped",
        prometheus: "skriptoteket_audit_events_dropped_total",
        kind: Kind::Counter,
        unit: "{event}",
        attributes: &[],
        meaning: "Login attempts that could not be written to the audit trail",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "skriptoteket.sessions_started",
        prometheus: "skriptoteket_sessions_started_total",
        kind: Kind::ObservableCounter,
        unit: "{session}",
        attributes: &[ROLE],
        meaning: "Sessions started, from the store's own totals",
        scope: Scope::ServiceWide,
    },
    Instrument {
        name: "skriptoteket.sessions_ended",
        prometheus: "skriptoteket_sessions_ended_total",
        kind: Kind::ObservableCounter,
        unit: "{session}",
        attributes: &[ROLE, closed("reason", &END_REASONS)],
        meaning: "Sessions ended, by reason, from the store's own totals",
        scope: Scope::ServiceWide,
    },
    Instrument {
        name: "skriptoteket.session_duration",
        prometheus: "skriptoteket_session_duration_seconds",
        kind: Kind::Histogram,
        unit: "s",
        attributes: &[closed("reason", &END_REASONS)],
        meaning: "How long a session lasted, from its start to its end",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "skriptoteket.session_census_up",
        prometheus: "skriptoteket_session_census_up",
        kind: Kind::ObservableGauge,
        unit: "{census}",
        attributes: &[],
        meaning: "1 while the session store answers this replica, so that the session gauges can be believed; else 0",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "skriptoteket.session_census_age",
        prometheus: "skriptoteket_session_census_age_seconds",
        kind: Kind::ObservableGauge,
        unit: "s",
        attributes: &[],
        meaning: "Age of the last count that the store answered",
        scope: Scope::ServiceWide,
    },
    Instrument {
        name: "skriptoteket.session_observer",
        prometheus: "skriptoteket_session_observer",
        kind: Kind::ObservableGauge,
        unit: "{observer}",
        attributes: &[],
        meaning: "1 on the replica that exports what is service-wide, 0 on the others",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "skriptoteket.session_observer_epoch",
        prometheus: "skriptoteket_session_observer_epoch",
        kind: Kind::ObservableGauge,
        unit: "{epoch}",
        attributes: &[],
        meaning: "How often another replica has taken over, as this one last heard",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "skriptoteket.store_operation_duration",
        prometheus: "skriptoteket_store_operation_duration_seconds",
        kind: Kind::Histogram,
        unit: "s",
        attributes: &[
            closed("store", &STORES),
            Attribute {
                key: "operation",
                values: Values::Bounded("the methods of the repositories"),
            },
            closed("error.type", &STORE_ERRORS),
        ],
        meaning: "How long the store took to answer",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "http.server.request.duration",
        prometheus: "http_server_request_duration_seconds",
        kind: Kind::Histogram,
        unit: "s",
        attributes: &[
            METHOD,
            Attribute {
                key: "http.route",
                values: Values::Bounded(
                    "the matched patterns of the route table; absent where none matched",
                ),
            },
            Attribute {
                key: "http.response.status_code",
                values: Values::Bounded("the statuses of the API"),
            },
            SCHEME,
        ],
        meaning: "How long HTTP requests took",
        scope: Scope::PerInstance,
    },
    Instrument {
        name: "http.server.active_requests",
        prometheus: "http_server_active_requests",
        kind: Kind::ObservableUpDownCounter,
        unit: "{request}",
        attributes: &[METHOD, SCHEME],
        meaning: "HTTP requests being answered",
        scope: Scope::PerInstance,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The Prometheus name that both paths derive: dots to underscores, the unit's and the counter's suffix.
    fn derived(instrument: &Instrument) -> String {
        let base = instrument.name.replace('.', "_");
        let unit = if instrument.unit == "s" {
            "_seconds"
        } else {
            ""
        };
        let counter = matches!(instrument.kind, Kind::Counter | Kind::ObservableCounter);
        let total = if counter { "_total" } else { "" };
        format!("{base}{unit}{total}")
    }

    #[test]
    fn names_follow_the_rules_that_make_both_paths_agree() {
        let mut seen = BTreeSet::new();
        for instrument in CATALOGUE {
            let name = instrument.name;
            assert!(seen.insert(name), "{name} is listed twice");
            assert!(
                !name.ends_with("_total") && !name.ends_with("_seconds"),
                "{name}"
            );
            assert!(
                instrument.unit == "s" || instrument.unit.starts_with('{'),
                "{name}"
            );
            assert_eq!(instrument.prometheus, derived(instrument));
        }
    }
}
