//! The `OTEL_…` variables.

use super::*;

fn otel<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> OtelSettings {
    from_env(variables).unwrap().otel
}

fn target(target: Option<&OtlpTarget>) -> String {
    target.map_or_else(String::new, ToString::to_string)
}

#[test]
fn nothing_given_exports_nothing_and_shows_the_page() {
    let settings = otel([]);
    assert!(!settings.disabled && settings.prometheus);
    assert_eq!(
        (settings.metrics, settings.traces, settings.logs),
        (None, None, None)
    );
    assert_eq!(settings.metric_export_interval, 15 * SECOND);
}

#[test]
fn an_endpoint_exports_all_signals_each_under_its_path() {
    for base in ["http://collector:4318", "http://collector:4318/"] {
        let settings = otel([("OTEL_EXPORTER_OTLP_ENDPOINT", base)]);
        let metrics = target(settings.metrics.as_ref());
        assert_eq!(metrics, "http/protobuf to http://collector:4318/v1/metrics");
        let traces = target(settings.traces.as_ref());
        assert_eq!(traces, "http/protobuf to http://collector:4318/v1/traces");
        let logs = target(settings.logs.as_ref());
        assert_eq!(logs, "http/protobuf to http://collector:4318/v1/logs");
        assert!(settings.prometheus);
    }
    let below = otel([("OTEL_EXPORTER_OTLP_ENDPOINT", "https://example.org/otlp/")]);
    let below = target(below.metrics.as_ref());
    assert_eq!(
        below,
        "http/protobuf to https://example.org/otlp/v1/metrics"
    );
}

#[test]
fn grpc_calls_the_endpoint_as_it_is() {
    let settings = otel([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ]);
    let metrics = settings.metrics.unwrap();
    assert_eq!(metrics.protocol, OtlpProtocol::Grpc);
    assert_eq!(metrics.endpoint.as_str(), "http://collector:4317/");
}

#[test]
fn a_signals_own_variables_win() {
    let settings = otel([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://traces:4317/as/it/is",
        ),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_LOGS_EXPORTER", "none"),
    ]);
    let metrics = target(settings.metrics.as_ref());
    assert_eq!(metrics, "http/protobuf to http://collector:4318/v1/metrics");
    assert_eq!(
        target(settings.traces.as_ref()),
        "grpc to http://traces:4317/as/it/is"
    );
    assert_eq!(settings.logs, None);
    let only = otel([(
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "http://metrics:4318/push",
    )]);
    let metrics = target(only.metrics.as_ref());
    assert_eq!(metrics, "http/protobuf to http://metrics:4318/push");
    assert_eq!((only.traces, only.logs), (None, None));
}

#[test]
fn an_exporter_that_is_named_has_a_default_endpoint() {
    let settings = otel([
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
    ]);
    let metrics = target(settings.metrics.as_ref());
    assert_eq!(metrics, "http/protobuf to http://localhost:4318/v1/metrics");
    assert!(settings.traces.is_some() && settings.logs.is_none());
    let grpc = otel([
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
    ]);
    assert_eq!(target(grpc.logs.as_ref()), "grpc to http://localhost:4317/");
}

#[test]
fn the_page_goes_only_with_none_or_with_the_sdk() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let metrics = |exporter: &'static str| {
        let settings = otel([endpoint, ("OTEL_METRICS_EXPORTER", exporter)]);
        (settings.metrics.is_some(), settings.prometheus)
    };
    assert_eq!(metrics("otlp"), (true, true));
    assert_eq!(metrics("prometheus"), (false, true));
    assert_eq!(metrics("otlp, prometheus"), (true, true));
    assert_eq!(metrics("none"), (false, false));
    assert_eq!(metrics(""), (true, true));
    for yes in ["true", "TRUE", "True"] {
        let settings = otel([endpoint, ("OTEL_SDK_DISABLED", yes)]);
        assert!(settings.disabled && !settings.prometheus);
        assert_eq!(
            (settings.metrics, settings.traces, settings.logs),
            (None, None, None)
        );
    }
    assert!(!otel([("OTEL_SDK_DISABLED", "False")]).disabled);
}

#[test]
fn the_interval_is_in_milliseconds() {
    let interval = |text| otel([("OTEL_METRIC_EXPORT_INTERVAL", text)]).metric_export_interval;
    assert_eq!(interval("1500"), Duration::from_millis(1_500));
    assert_eq!(interval(""), 15 * SECOND);
    assert_eq!(otel([]).metric_export_interval, 15 * SECOND);
}

/// The interval of a file that ships: the number of seconds behind `name`.
fn seconds(file: &str, name: &str) -> u32 {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(name).expect(name);
    let digits = rest.split('s').next().unwrap();
    digits.parse().unwrap()
}

#[test]
fn the_default_interval_fits_the_configuration_that_ships() {
    let export = otel([]).metric_export_interval;
    let expiration = "${env:COLLECTOR_METRIC_EXPIRATION:-";
    let expiration = seconds("otel-collector/config.yaml", expiration) * SECOND;
    assert!(
        2 * export < expiration,
        "a series is dropped after {expiration:?}, and one export in {export:?} may be lost"
    );
    for (file, name) in [
        ("prometheus/prometheus.yml", "scrape_interval: "),
        (
            "grafana/provisioning/datasources/prometheus.yml",
            "timeInterval: ",
        ),
    ] {
        assert_eq!(seconds(file, name) * SECOND, export, "{file}");
    }
}

#[test]
fn junk_is_a_fault() {
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "1"),
        ("OTEL_METRICS_EXPORTER", "console"),
        ("OTEL_METRICS_EXPORTER", "none,otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp,"),
        ("OTEL_TRACES_EXPORTER", "prometheus"),
        ("OTEL_LOGS_EXPORTER", "OTLP"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "unix:/socket"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
    ] {
        let faults = from_env([(name, value)]).unwrap_err().to_string();
        assert!(
            faults.starts_with(&format!("{name} = \"{value}\": expected ")),
            "{faults}"
        );
        assert_eq!(faults.lines().count(), 1, "{faults}");
    }
}
