//! The table of the `OTEL_…` variables, and warnings about those that are not read.

use std::iter::once;

use crate::{
    faults::{Fault, Origin, Problem},
    nearest::nearest,
    variables::Variables,
};

/// A variable that is read.
#[derive(Clone, Copy, Debug)]
pub struct OtelVariable {
    /// Its name; if signals can have their own variable, the general one.
    pub name: &'static str,
    /// True if `OTLP_METRICS_…`, `OTLP_TRACES_…` and `OTLP_LOGS_…` are read as well, and take precedence.
    pub per_signal: bool,
    /// The value if it is not given.
    pub default: &'static str,
    /// Its meaning.
    pub meaning: &'static str,
}

impl OtelVariable {
    /// Returns the variable itself, and those of the signals.
    pub fn names(&self) -> impl Iterator<Item = String> + use<> {
        let name = self.name;
        let signals = SIGNALS
            .into_iter()
            .take(if self.per_signal { SIGNALS.len() } else { 0 });
        once(name.to_owned()).chain(signals.map(move |signal| of_signal(name, signal)))
    }
}

/// The signals, as written in the names of variables.
const SIGNALS: [&str; 3] = ["METRICS", "TRACES", "LOGS"];

const EXPORTER: &str = "OTEL_EXPORTER_OTLP_";

/// Returns the variable of a signal that overrides the general one.
pub(super) fn of_signal(general: &str, signal: &str) -> String {
    let signal = signal.to_ascii_uppercase();
    let rest = general.strip_prefix(EXPORTER).unwrap_or(general);
    format!("{EXPORTER}{signal}_{rest}")
}

const fn one(name: &'static str, default: &'static str, meaning: &'static str) -> OtelVariable {
    let per_signal = false;
    OtelVariable {
        name,
        per_signal,
        default,
        meaning,
    }
}

const fn of_signals(
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> OtelVariable {
    let per_signal = true;
    OtelVariable {
        name,
        per_signal,
        default,
        meaning,
    }
}

/// Every variable that Skriptoteket or the OpenTelemetry SDK below it reads. Each is checked with the configuration.
pub const OTEL_VARIABLES: &[OtelVariable] = &[
    one(
        "OTEL_SDK_DISABLED",
        "false",
        "true: nothing is recorded or exported",
    ),
    one(
        "OTEL_METRICS_EXPORTER",
        "otlp with an endpoint",
        "otlp, prometheus or none; otlp,prometheus",
    ),
    one(
        "OTEL_TRACES_EXPORTER",
        "otlp with an endpoint",
        "otlp or none",
    ),
    one(
        "OTEL_LOGS_EXPORTER",
        "otlp with an endpoint",
        "otlp or none",
    ),
    of_signals(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "none",
        "URL of the Collector. Over HTTP, /v1/metrics, /v1/traces or /v1/logs is appended to the general URL; the URL of a signal is used unchanged",
    ),
    of_signals(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/protobuf",
        "http/protobuf or grpc",
    ),
    of_signals(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "none",
        "name=value, separated by commas; values percent-encoded",
    ),
    of_signals(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "10000",
        "timeout of an export, in milliseconds",
    ),
    of_signals("OTEL_EXPORTER_OTLP_COMPRESSION", "none", "gzip or none"),
    of_signals(
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "authorities of the system",
        "PEM file of the authorities that may sign the Collector's certificate; if set, no others are trusted",
    ),
    of_signals(
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        "none",
        "PEM file of the service's own certificate, for mutual TLS, followed by the intermediate certificates",
    ),
    of_signals(
        "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        "none",
        "PEM file of the private key of that certificate, not encrypted",
    ),
    of_signals(
        "OTEL_EXPORTER_OTLP_INSECURE",
        "false",
        "true or false; has no effect, because an endpoint has to begin with http:// or https://",
    ),
    one(
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "cumulative",
        "cumulative, delta or lowmemory. The store's totals are always cumulative",
    ),
    one(
        "OTEL_METRIC_EXPORT_INTERVAL",
        "15000",
        "milliseconds between two exports of metrics",
    ),
    one(
        "OTEL_TRACES_SAMPLER",
        "parentbased_traceidratio",
        "which requests are traced: always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio",
    ),
    one(
        "OTEL_TRACES_SAMPLER_ARG",
        "0.01; 1 if OTEL_TRACES_SAMPLER is set",
        "share of requests that are traced, from 0 to 1",
    ),
    one(
        "OTEL_SERVICE_NAME",
        "skriptoteket",
        "service.name, which is the label job in Prometheus; takes precedence over OTEL_RESOURCE_ATTRIBUTES",
    ),
    one(
        "OTEL_RESOURCE_ATTRIBUTES",
        "none",
        "name=value, separated by commas; values percent-encoded",
    ),
    one(
        "OTEL_BSP_SCHEDULE_DELAY",
        "5000",
        "milliseconds between two exports of spans",
    ),
    one(
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "2048",
        "maximum number of queued spans; further ones are dropped",
    ),
    one(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "512",
        "maximum number of spans in one export",
    ),
    one(
        "OTEL_BLRP_SCHEDULE_DELAY",
        "1000",
        "milliseconds between two exports of log records",
    ),
    one(
        "OTEL_BLRP_MAX_QUEUE_SIZE",
        "2048",
        "maximum number of queued log records; further ones are dropped",
    ),
    one(
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE",
        "512",
        "maximum number of log records in one export",
    ),
    one(
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "128",
        "maximum number of attributes of a span",
    ),
    one(
        "OTEL_SPAN_EVENT_COUNT_LIMIT",
        "128",
        "maximum number of events of a span",
    ),
    one(
        "OTEL_SPAN_LINK_COUNT_LIMIT",
        "128",
        "maximum number of links of a span",
    ),
];

/// Variables of the specification that have no effect here, and the alternatives.
pub const OTEL_WITHOUT_EFFECT: &[(&str, &str)] = &[
    (
        "OTEL_BSP_EXPORT_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT bounds an export of spans",
    ),
    (
        "OTEL_BLRP_EXPORT_TIMEOUT",
        "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT bounds an export of log records",
    ),
    (
        "OTEL_METRIC_EXPORT_TIMEOUT",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT bounds an export of metrics",
    ),
    (
        "OTEL_BSP_MAX_CONCURRENT_EXPORTS",
        "spans are exported one batch at a time",
    ),
    ("OTEL_PROPAGATORS", "only W3C trace context is read"),
    (
        "OTEL_LOG_LEVEL",
        "SKRIPTOTEKET_LOG is the filter of log lines",
    ),
    (
        "OTEL_METRICS_EXEMPLAR_FILTER",
        "the SDK has no exemplars; slow and failed requests are traced instead",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "histograms have fixed bounds, so that both ways to Prometheus agree",
    ),
    (
        "OTEL_EXPORTER_PROMETHEUS_HOST",
        "SKRIPTOTEKET_MANAGEMENT_LISTEN sets the address of /metrics",
    ),
    (
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        "SKRIPTOTEKET_MANAGEMENT_LISTEN sets the address of /metrics",
    ),
    (
        "OTEL_CONFIG_FILE",
        "only variables are read, no configuration file",
    ),
    (
        "OTEL_EXPERIMENTAL_CONFIG_FILE",
        "only variables are read, no configuration file",
    ),
    (
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is read",
    ),
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "all values are short"),
    (
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "all values are short",
    ),
    (
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
        "events have few attributes",
    ),
    ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "spans have no links"),
    (
        "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
        "records have few attributes",
    ),
    (
        "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "all values are short",
    ),
];

/// Warns about variables that have no effect. They are not faults, because an environment may be shared by services
/// in several languages.
pub(super) fn warn_of_the_others(variables: &mut Variables<'_>) {
    let known: Vec<String> = OTEL_VARIABLES
        .iter()
        .flat_map(OtelVariable::names)
        .collect();
    for name in variables.otel_variables() {
        if known.contains(&name) {
            continue;
        }
        let without_effect = OTEL_WITHOUT_EFFECT.iter().find(|(it, _)| *it == name);
        let note = match without_effect {
            Some((_, instead)) => format!("has no effect: {instead}"),
            None => nearest(&name, &known).map_or_else(
                || "has no effect: it is not read".into(),
                |it| format!("has no effect: it is not read; did you mean {it}?"),
            ),
        };
        warn(variables, name, note);
    }
}

/// Warns about a variable, without its value.
pub(super) fn warn(variables: &mut Variables<'_>, name: String, note: String) {
    let fault = Fault::new(Origin::Variable(name), None, Problem::Note(note));
    let warning = fault.to_string();
    if !variables.warnings.contains(&warning) {
        variables.warnings.push(warning);
    }
}
