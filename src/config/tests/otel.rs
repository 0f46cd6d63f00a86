//! The `OTEL_…` variables. `skriptoteket_config` tests what each of them does.

use skriptoteket_config::otel_settings;

use super::*;

#[test]
fn other_applications_read_the_variables_as_the_server_does() {
    let environment = env([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_SERVICE_NAME", "front-door"),
        ("OTEL_PROPAGATORS", "b3"),
    ]);
    let config = load(None, &environment).unwrap();
    assert!(config.otel.metrics.is_some() && config.warnings.len() > 1);
    let read = otel_settings(&environment).unwrap();
    assert_eq!(read, (config.otel, config.warnings));

    let environment = env([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
    ]);
    let faults = load(None, &environment).unwrap_err().to_string();
    assert_eq!(faults.lines().count(), 2, "{faults}");
    assert_eq!(otel_settings(&environment).unwrap_err().to_string(), faults);
}

/// Returns the interval in a shipped file: the number of seconds after `name`.
fn seconds(file: &str, name: &str) -> u32 {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(name).expect(name);
    let digits = rest.split('s').next().unwrap();
    digits.parse().unwrap()
}

#[test]
fn the_default_interval_fits_the_configuration_that_ships() {
    let export = from_env([]).unwrap().otel.metric_export_interval;
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
