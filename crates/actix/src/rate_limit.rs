//! `RateLimit` and `RateLimit-Policy`: the remaining limits of a service, for the service
//! (draft-ietf-httpapi-ratelimit-headers-11).
//!
//! `r` requests can pass now, and no more within `t` seconds (section 4.1.2). The limit refills one request at a time,
//! so `t` is the time until the next one is refilled. If nothing is left, this equals `Retry-After` (section 6).

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use skriptoteket_services::Allowance;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// One day, the window of the daily quota.
const DAY: Duration = Duration::from_hours(24);

/// Writes the remaining limits into `headers`.
pub fn tell(headers: &mut HeaderMap, allowance: &Allowance) {
    let (policy, limit) = texts(allowance);
    for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
        // Consists of names and numbers, so it is valid header text.
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

/// Returns the values of `RateLimit-Policy` and `RateLimit`. Times are rounded up, because an earlier request would
/// fail.
fn texts(allowance: &Allowance) -> (String, String) {
    let mut policies = vec![format!(
        r#""requests";q={};w={}"#,
        allowance.burst,
        seconds(allowance.window).max(1),
    )];
    let mut limits = vec![format!(
        r#""requests";r={};t={}"#,
        allowance.remaining,
        seconds(refilled_in(allowance)),
    )];
    if let Some(daily) = &allowance.daily {
        let (quota, left) = (daily.quota, daily.remaining);
        let (day, rest) = (seconds(DAY), seconds(daily.resets_in));
        policies.push(format!(r#""daily_quota";q={quota};w={day}"#));
        limits.push(format!(r#""daily_quota";r={left};t={rest}"#));
    }
    (policies.join(", "), limits.join(", "))
}

/// Returns the time until one more request can pass; zero if nothing is used.
fn refilled_in(allowance: &Allowance) -> Duration {
    let interval = allowance.window / allowance.burst.max(1);
    let used = allowance.burst.saturating_sub(allowance.remaining);
    let later = interval * used.saturating_sub(1);
    allowance.recovers_in.saturating_sub(later)
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skriptoteket_services::DailyAllowance;

    #[test]
    fn what_is_left_is_told_in_structured_fields_with_times_rounded_up() {
        let mut allowance = Allowance {
            burst: 200,
            remaining: 150,
            window: Duration::from_secs(2),
            recovers_in: Duration::from_millis(495),
            daily: Some(DailyAllowance {
                quota: 1000,
                remaining: 10,
                resets_in: Duration::from_millis(3_599_001),
            }),
        };
        let (policy, limit) = texts(&allowance);
        assert_eq!(
            policy,
            r#""requests";q=200;w=2, "daily_quota";q=1000;w=86400"#
        );
        assert_eq!(limit, r#""requests";r=150;t=1, "daily_quota";r=10;t=3600"#);
        allowance.daily = None;
        // 20/m with a burst of 2, used up: one request passes after 3 s, both after 6 s.
        (allowance.burst, allowance.remaining) = (2, 0);
        (allowance.window, allowance.recovers_in) =
            (Duration::from_secs(6), Duration::from_secs(6));
        assert_eq!(texts(&allowance).1, r#""requests";r=0;t=3"#);
        allowance.recovers_in = Duration::from_millis(4_500);
        assert_eq!(texts(&allowance).1, r#""requests";r=0;t=2"#);
        (allowance.remaining, allowance.recovers_in) = (1, Duration::from_millis(2_900));
        assert_eq!(texts(&allowance).1, r#""requests";r=1;t=3"#);
        (allowance.burst, allowance.remaining) = (200, 200);
        allowance.window = Duration::from_micros(100);
        allowance.recovers_in = Duration::ZERO;
        let (policy, limit) = texts(&allowance);
        assert_eq!(policy, r#""requests";q=200;w=1"#);
        assert_eq!(limit, r#""requests";r=200;t=0"#);
    }
}
