//! Telemetry with a Collector that is absent, unknown or does not respond.

use std::{net::TcpListener, sync::Arc, time::Duration};

use url::Url;

use super::{Telemetry, TelemetryError};
use crate::{OtelSettings, OtlpProtocol, OtlpTarget, TraceSampler};
use skriptoteket_core::clock::{Clock, SystemClock};

skriptoteket_core::metrics! {
    VISITS = Counter("skriptoteket.visits", "{visit}", PerInstance, [], "Visits");
}

const PROTOCOLS: [OtlpProtocol; 2] = [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf];

fn all_signals_to(protocol: OtlpProtocol, endpoint: &str) -> OtelSettings {
    let endpoint = Url::parse(endpoint).unwrap();
    let target = Some(OtlpTarget::new(protocol, endpoint));
    OtelSettings {
        disabled: false,
        metrics: target.clone(),
        traces: target.clone(),
        logs: target,
        prometheus: true,
        metric_export_interval: Duration::from_millis(50),
        sampler: TraceSampler::default(),
        resource: Vec::new(),
    }
}

/// Starts, records, shuts down. Returns the duration of start and shutdown, and the result of the shutdown.
async fn live_through(settings: OtelSettings) -> (Duration, Duration, Result<(), TelemetryError>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let before = clock.monotonic();
    let telemetry = Telemetry::start(&settings, &[METRICS]).unwrap();
    let start = clock.monotonic().saturating_sub(before);
    VISITS.counter(&telemetry.meter()).add(1, &[]);
    let page = telemetry.page().render().unwrap();
    assert!(page.contains("skriptoteket_visits_total 1\n"));

    let before = clock.monotonic();
    let result = tokio::task::spawn_blocking(move || telemetry.shutdown(LIMIT)).await;
    (
        start,
        clock.monotonic().saturating_sub(before),
        result.unwrap(),
    )
}

const LIMIT: Duration = Duration::from_millis(400);

/// Longer than any machine needs for steps that must not wait for the network, shorter than the 5 s that the SDK
/// waits.
const AT_ONCE: Duration = Duration::from_millis(4_500);

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_swallows_everything_delays_nothing() {
    let black_hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/", black_hole.local_addr().unwrap());
    for protocol in PROTOCOLS {
        let (start, shutdown, result) = live_through(all_signals_to(protocol, &endpoint)).await;
        assert!(start < AT_ONCE, "{protocol:?}: {start:?}");
        assert!(
            shutdown >= LIMIT && shutdown < AT_ONCE,
            "{protocol:?}: {shutdown:?}"
        );
        assert!(matches!(result, Err(TelemetryError::Undelivered(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_or_has_no_address_delays_nothing() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let absent = format!("http://{}/", closed.unwrap());
    for endpoint in [absent.as_str(), "http://collector.invalid:4317/"] {
        for protocol in PROTOCOLS {
            let (start, shutdown, result) = live_through(all_signals_to(protocol, endpoint)).await;
            assert!(start < AT_ONCE, "{endpoint} {protocol:?}: {start:?}");
            assert!(shutdown < AT_ONCE, "{endpoint} {protocol:?}: {shutdown:?}");
            assert!(matches!(result, Err(TelemetryError::Undelivered(_))));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_behind_tls_can_be_set() {
    for protocol in PROTOCOLS {
        let settings = all_signals_to(protocol, "https://collector.invalid:4317/");
        let (start, _, _) = live_through(settings).await;
        assert!(start < AT_ONCE, "{protocol:?}: {start:?}");
    }
}

#[test]
fn grpc_without_a_runtime_is_an_error_and_not_a_panic() {
    let settings = all_signals_to(OtlpProtocol::Grpc, "http://127.0.0.1:4317/");
    let result = Telemetry::start(&settings, &[METRICS]);
    assert!(matches!(result, Err(TelemetryError::NoRuntime(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_telemetry_has_no_exporter() {
    let settings = OtelSettings {
        disabled: true,
        ..all_signals_to(OtlpProtocol::Grpc, "http://127.0.0.1:4317/")
    };
    let telemetry = Telemetry::start(&settings, &[METRICS]).unwrap();
    assert!(telemetry.observed_meters().is_empty());
    assert_eq!(telemetry.page().render().unwrap(), "");
    telemetry.shutdown(LIMIT).unwrap();
}
