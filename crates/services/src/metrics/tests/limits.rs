//! The usage and the limits of a service: over time, and after it was deleted.

use super::*;

#[test]
fn what_counts_against_a_limit_falls_as_time_goes_on() {
    let it = Fixture::new();
    assert_eq!(it.usage(), [None, None]);
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    let daily = Some((40.0, 100.0));
    assert_eq!(it.usage(), [Some((10.0, 10.0)), daily]);
    it.clock.advance(Duration::from_millis(2_500));
    assert_eq!(it.usage(), [Some((8.0, 10.0)), daily]);
    it.clock.advance(Duration::from_secs(8));
    assert_eq!(it.usage(), [Some((0.0, 10.0)), daily]);
    it.clock.advance(Duration::from_hours(1));
    // After this time the usage is unknown.
    assert_eq!(it.usage(), [None, None]);
    let without = RateLimitUsage {
        daily: None,
        ..USAGE
    };
    it.metrics.update_rate_limit_usage(MAILROOM, without);
    assert_eq!(it.usage(), [Some((10.0, 10.0)), None]);
}

#[test]
fn the_limits_of_a_deleted_service_are_gone_until_it_is_registered_again() {
    let it = Fixture::new();
    let shown = [Some((10.0, 10.0)), Some((40.0, 100.0))];
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    assert_eq!(it.usage(), shown);
    it.metrics.withdraw_rate_limit_usage(MAILROOM);
    assert_eq!(it.usage(), [None, None]);
    // A request that was in progress when the service was deleted.
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    assert_eq!(it.usage(), [None, None]);
    assert!(it.metrics.admit(MAILROOM));
    assert_eq!(it.usage(), [None, None]);
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    assert_eq!(it.usage(), shown);
    assert!(it.metrics.admit(MAILROOM), "it goes on being registered");
    assert_eq!(it.usage(), shown);
    it.metrics.withdraw_rate_limit_usage("nobody-knows-it");
    assert_eq!(it.usage(), shown);
}

#[test]
fn use_that_was_not_heard_of_for_long_is_not_shown_and_what_is_configured_is() {
    let it = Fixture::new();
    it.metrics.set_rate_limits(MAILROOM, 20, Some(500));
    it.metrics.update_rate_limit_usage(MAILROOM, USAGE);
    let gauge = |name: &str, limit| {
        let labels = [("limit_type", limit), ("service_id", MAILROOM)];
        it.collected.gauge(&format!("skriptoteket.{name}"), &labels)
    };
    let shown = |limit| {
        [
            gauge("rate_limit_current", limit),
            gauge("rate_limit_allowed", limit),
        ]
    };
    assert_eq!(shown("requests")[1], Some(20.0));
    assert!(shown("daily_quota")[0].is_some());
    assert_eq!(shown("daily_quota")[1], Some(500.0));
    it.clock.advance(Duration::from_mins(5));
    assert_eq!(shown("daily_quota"), [None, Some(500.0)]);
    it.metrics.withdraw_rate_limit_usage(MAILROOM);
    assert_eq!(shown("daily_quota"), [None, None]);
}
