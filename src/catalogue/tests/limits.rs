//! The maximum number of series of an instrument.

use super::*;
use crate::metric::{BOUNDED_SETS, SERVICE_LABELS};

#[test]
fn past_its_limit_an_instrument_counts_into_one_series() {
    let (telemetry, collected) = Telemetry::in_memory(CATALOGUE);
    let store = StoreMetrics::new(&telemetry.meter(), Arc::new(ManualClock::default()));
    let recorded = 3 * BOUNDED_SETS;
    for n in 0..recorded {
        let operation = StoreOperation {
            store: "accounts",
            operation: String::leak(format!("operation-{n}")),
        };
        store.finish(operation, store.start(), None);
    }

    let name = "skriptoteket.store_operation_duration";
    assert_eq!(collected.series().len(), BOUNDED_SETS + 1);
    let overflow = collected.histogram_count(name, &[("otel.metric.overflow", "true")]);
    assert_eq!(overflow, u64::try_from(recorded - BOUNDED_SETS).ok());
    let known = [("store", "accounts"), ("operation", "operation-0")];
    assert_eq!(collected.histogram_count(name, &known), Some(1));
}

#[test]
fn the_limit_of_closed_sets_is_the_number_of_their_combinations() {
    let limit = |name| all().find(|it| it.name == name).map(Metric::attribute_sets);
    assert_eq!(limit("skriptoteket.sessions_ended"), Some(4 * 7));
    assert_eq!(limit("skriptoteket.active_sessions"), Some(1));
    let of_services = limit("skriptoteket.failed_auths");
    assert_eq!(of_services, Some(13 * SERVICE_LABELS));
}

#[test]
fn limits_leave_the_bounds_of_histograms_alone() {
    let (telemetry, _collected) = Telemetry::in_memory(CATALOGUE);
    let clock = Arc::new(ManualClock::default());
    let http = HttpMetrics::new(&telemetry.meter(), &[], clock);
    http.recorder()
        .request_started(RequestLabels::new("GET", false))
        .finish(None, 404);
    let page = page_of(&telemetry);
    let bounds: Vec<&str> = page
        .samples
        .iter()
        .filter_map(|it| it.labels.get("le").map(String::as_str))
        .collect();
    assert_eq!(bounds.first(), Some(&"0.0005"));
    assert_eq!(bounds.last(), Some(&"+Inf"));
    assert_eq!(bounds.len(), 16);
}

#[test]
fn disabled_telemetry_takes_everything_and_shows_nothing() {
    let telemetry = Telemetry::disabled();
    let login = LoginMetrics::new(&telemetry.meter(), Arc::new(ManualClock::default()));
    login.login_started().finish(Ok(()));
    assert!(telemetry.observed_meters().is_empty());
    assert_eq!(telemetry.page().render().unwrap(), "");
}

#[test]
fn a_page_that_has_gone_silent_is_an_error() {
    let (telemetry, _collected) = Telemetry::in_memory(CATALOGUE);
    let login = LoginMetrics::new(&telemetry.meter(), Arc::new(ManualClock::default()));
    let page = telemetry.page();
    assert!(page.render().unwrap().contains("skriptoteket_logins_total"));
    telemetry.shutdown(Duration::from_secs(5)).unwrap();
    login.login_started().finish(Ok(()));
    assert!(page.render().is_err());
}
