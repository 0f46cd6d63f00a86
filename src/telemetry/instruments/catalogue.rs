//! The catalogue: what there is to see, in one list.

use super::{
    AUTH_FAILURES, AUTH_OPERATIONS, CREDENTIAL_ROTATIONS, END_REASONS, FAILURE_REASONS, HEALTHS,
    LIMIT_POLICIES, LIMIT_TYPES, LOGIN_STATUSES, REGISTRATION_EVENTS, ROLES, TOKEN_STATUSES,
};

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
    /// The id of a registered service, or `_other`: at most [`SERVICE_LABELS`] in the life of a process.
    Service,
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

const fn bounded(key: &'static str, words: &'static str) -> Attribute {
    Attribute {
        key,
        values: Values::Bounded(words),
    }
}

const ROLE: Attribute = closed("role", &ROLES);

/// Values of `result` of a password check.
pub(super) const PASSWORD_RESULTS: [&str; 3] = ["match", "mismatch", "overloaded"];

/// Values of `result` of a password change: `login::PasswordChangeError` maps to these.
pub(super) const PASSWORD_CHANGES: [&str; 7] = [
    "success",
    "invalid_credentials",
    "weak_password",
    "rate_limited",
    "store_unavailable",
    "internal_error",
    "cancelled",
];

/// HTTP methods that are a label value; all others are `_OTHER`, as the semantic conventions have it.
pub(super) const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "_OTHER",
];

/// Values of `url.scheme`.
pub(super) const SCHEMES: [&str; 2] = ["http", "https"];

/// Values of `store`.
pub(super) const STORES: [&str; 7] = [
    "accounts", "sessions", "limits", "audit", "services", "tokens", "quotas",
];

/// Values of `error.type` of a store operation; empty (no label) where it went well.
pub(super) const STORE_ERRORS: [&str; 4] = ["", "unavailable", "conflict", "corrupt"];

/// How many values `service_id` takes at most, `_other` included: more than may be registered at a time, so that some can
/// be deleted and others come while a process lives.
pub const SERVICE_LABELS: usize = 1_025;

const SERVICE: Attribute = Attribute {
    key: "service_id",
    values: Values::Service,
};
const METHOD: Attribute = closed("http.request.method", &METHODS);
const SCHEME: Attribute = closed("url.scheme", &SCHEMES);

const ROUTE: Attribute = bounded(
    "http.route",
    "the matched patterns of the route table; absent where none matched",
);
const STATUS_CODE: Attribute = bounded("http.response.status_code", "the statuses of the API");
const STORE_OPERATION: Attribute = bounded("operation", "the methods of the repositories");

/// Makes the list, an instrument in a few lines: name, Prometheus name, kind, unit, whose truth, attributes, meaning.
macro_rules! catalogue {
    ($($name:literal as $prometheus:literal: $kind:ident, $unit:literal, $scope:ident,
        [$($attribute:expr),*], $meaning:literal;)*) => {
        /// Every instrument of the crate.
        pub const CATALOGUE: &[Instrument] = &[$(Instrument {
            name: $name,
            prometheus: $prometheus,
            kind: Kind::$kind,
            unit: $unit,
            attributes: &[$($attribute),*],
            meaning: $meaning,
            scope: Scope::$scope,
        }),*];
    };
}

catalogue! {
    "skriptoteket.active_sessions" as "skriptoteket_active_sessions": ObservableGauge, "{session}", ServiceWide,
        [],
        "Live sessions";
    "skriptoteket.sessions_by_role" as "skriptoteket_sessions_by_role": ObservableGauge, "{session}", ServiceWide,
        [ROLE],
        "Live sessions by role";
    "skriptoteket.users_by_role" as "skriptoteket_users_by_role": ObservableGauge, "{user}", ServiceWide,
        [ROLE],
        "Distinct users with a live session, by role";
    "skriptoteket.logins" as "skriptoteket_logins_total": Counter, "{login}", PerInstance,
        [closed("status", &LOGIN_STATUSES)],
        "Login attempts by outcome";
    "skriptoteket.login_failures" as "skriptoteket_login_failures_total": Counter, "{login}", PerInstance,
        [closed("reason", &FAILURE_REASONS)],
        "Failed login attempts by reason";
    "skriptoteket.login_duration" as "skriptoteket_login_duration_seconds": Histogram, "s", PerInstance,
        [closed("status", &LOGIN_STATUSES)],
        "How long a login attempt took";
    "skriptoteket.password_checks" as "skriptoteket_password_checks_total": Counter, "{check}", PerInstance,
        [closed("result", &PASSWORD_RESULTS)],
        "Password checks by result; overloaded = refused because the queue was full";
    "skriptoteket.password_changes" as "skriptoteket_password_changes_total": Counter, "{change}", PerInstance,
        [closed("result", &PASSWORD_CHANGES)],
        "Attempts of users to change their password, by result";
    "skriptoteket.audit_events_dropped" as "skriptoteket_audit_events_dropped_total": Counter, "{event}", PerInstance,
        [],
        "Audit events that could not be written to the audit trail";
    "skriptoteket.sessions_started" as "skriptoteket_sessions_started_total": ObservableCounter, "{session}", ServiceWide,
        [ROLE],
        "Sessions started, from the store's own totals";
    "skriptoteket.sessions_ended" as "skriptoteket_sessions_ended_total": ObservableCounter, "{session}", ServiceWide,
        [ROLE, closed("reason", &END_REASONS)],
        "Sessions ended, by reason, from the store's own totals";
    "skriptoteket.session_duration" as "skriptoteket_session_duration_seconds": Histogram, "s", PerInstance,
        [closed("reason", &END_REASONS)],
        "How long a session lasted, from its start to its end";
    "skriptoteket.session_census_up" as "skriptoteket_session_census_up": ObservableGauge, "{census}", PerInstance,
        [],
        "1 while the session store answers this replica, so that the session gauges can be believed; else 0";
    "skriptoteket.session_census_age" as "skriptoteket_session_census_age_seconds": ObservableGauge, "s", PerInstance,
        [],
        "Time since the store last answered this replica: a count if it observes, else who does";
    "skriptoteket.session_observer" as "skriptoteket_session_observer": ObservableGauge, "{observer}", PerInstance,
        [],
        "1 on the replica that exports what is service-wide, 0 on the others";
    "skriptoteket.session_observer_epoch" as "skriptoteket_session_observer_epoch": ObservableGauge, "{epoch}", PerInstance,
        [],
        "How often another replica has taken over, as this one last heard";
    "skriptoteket.successful_auths" as "skriptoteket_successful_auths_total": Counter, "{auth}", PerInstance,
        [SERVICE],
        "Authentications of services that succeeded";
    "skriptoteket.failed_auths" as "skriptoteket_failed_auths_total": Counter, "{auth}", PerInstance,
        [SERVICE, closed("reason", &AUTH_FAILURES)],
        "Authentications of services that failed, by reason";
    "skriptoteket.token_verifications" as "skriptoteket_token_verifications_total": Counter, "{verification}", PerInstance,
        [SERVICE, closed("status", &TOKEN_STATUSES)],
        "Access tokens looked at, by what they were found to be";
    "skriptoteket.auth_latency" as "skriptoteket_auth_latency_seconds": Histogram, "s", PerInstance,
        [SERVICE, closed("operation", &AUTH_OPERATIONS)],
        "How long authentications of services took, by what for";
    "skriptoteket.rate_limit_exceeded" as "skriptoteket_rate_limit_exceeded_total": Counter, "{rejection}", PerInstance,
        [SERVICE, closed("limit_type", &LIMIT_TYPES)],
        "Requests of services refused because a limit was reached";
    "skriptoteket.rate_limit_current" as "skriptoteket_rate_limit_current": ObservableGauge, "{request}", PerInstance,
        [SERVICE, closed("limit_type", &LIMIT_TYPES)],
        "Requests that count against a limit, as this replica heard in the last five minutes; take max over replicas";
    "skriptoteket.rate_limit_allowed" as "skriptoteket_rate_limit_allowed": ObservableGauge, "{request}", PerInstance,
        [SERVICE, closed("limit_type", &LIMIT_TYPES)],
        "Requests that the limit allows, as configured now";
    "skriptoteket.rate_limit_failures" as "skriptoteket_rate_limit_failures_total": Counter, "{request}", PerInstance,
        [closed("policy", &LIMIT_POLICIES)],
        "Requests whose limit the store could not check: closed = refused, open = let through";
    "skriptoteket.retired_credential_uses" as "skriptoteket_retired_credential_uses_total": Counter, "{use}", PerInstance,
        [SERVICE],
        "Authentications with a credential that a rotation has replaced";
    "skriptoteket.active_services" as "skriptoteket_active_services": ObservableGauge, "{service}", ServiceWide,
        [],
        "Services that are healthy or degraded";
    "skriptoteket.services_by_health" as "skriptoteket_services_by_health": ObservableGauge, "{service}", ServiceWide,
        [closed("health", &HEALTHS)],
        "Registered services by health";
    "skriptoteket.service_health" as "skriptoteket_service_health": ObservableGauge, "{service}", ServiceWide,
        [SERVICE, closed("health", &HEALTHS)],
        "1 for the health that the service has, 0 for the others";
    "skriptoteket.service_registrations" as "skriptoteket_service_registrations_total": ObservableCounter, "{registration}", ServiceWide,
        [closed("event", &REGISTRATION_EVENTS)],
        "Services registered and deleted, from the store's own totals";
    "skriptoteket.credential_rotations" as "skriptoteket_credential_rotations_total": ObservableCounter, "{rotation}", ServiceWide,
        [closed("result", &CREDENTIAL_ROTATIONS)],
        "Rotations of credentials; refused = the one before was still overlapping";
    "skriptoteket.credential_expiry" as "skriptoteket_credential_expiry_seconds": ObservableGauge, "s", ServiceWide,
        [SERVICE],
        "Time until the last credential of an enabled service expires; below 0 it has";
    "skriptoteket.signing_key_age" as "skriptoteket_signing_key_age_seconds": ObservableGauge, "s", ServiceWide,
        [],
        "How long the key that signs tokens has been in use";
    "skriptoteket.store_operation_duration" as "skriptoteket_store_operation_duration_seconds": Histogram, "s", PerInstance,
        [closed("store", &STORES), STORE_OPERATION, closed("error.type", &STORE_ERRORS)],
        "How long the store took to answer";
    "http.server.request.duration" as "http_server_request_duration_seconds": Histogram, "s", PerInstance,
        [METHOD, ROUTE, STATUS_CODE, SCHEME],
        "How long HTTP requests took";
    "http.server.active_requests" as "http_server_active_requests": ObservableUpDownCounter, "{request}", PerInstance,
        [METHOD, SCHEME],
        "HTTP requests being answered";
}

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
