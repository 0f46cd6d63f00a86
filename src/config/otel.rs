//! The standard variables of OpenTelemetry that the SDK leaves to the application.
//!
//! * `OTEL_SDK_DISABLED=true`: no instrument records and nothing is exported.
//! * `OTEL_{METRICS,TRACES,LOGS}_EXPORTER`: `otlp` exports, also where no endpoint is given; `none` does not. Unset, a
//!   signal is exported where an endpoint is given. The metrics' list may also name `prometheus`.
//! * `/metrics` shows the metrics unless the SDK is disabled or the metrics' list is `none` and nothing else.
//! * `OTEL_EXPORTER_OTLP[_METRICS,_TRACES,_LOGS]_{ENDPOINT,PROTOCOL}`: the signal's own variable wins. An endpoint for
//!   all signals gets `/v1/metrics` and so on over HTTP; a signal's own is called as it is.
//! * `OTEL_METRIC_EXPORT_INTERVAL`: whole milliseconds; 15000 if unset.
//!
//! An empty variable counts as unset. Unlike the specification, which lets junk pass with a warning, junk is a fault.

use std::time::Duration;

use url::Url;

use super::{
    OtelSettings, OtlpProtocol, OtlpTarget,
    faults::{Origin, Problem, Reported},
    forms::{Choice, Form, Number, has_credentials},
    reader::Reader,
};

/// How often metrics are exported if `OTEL_METRIC_EXPORT_INTERVAL` is unset, in milliseconds.
///
/// The specification's default is 60 s. The Collector configuration that ships drops a series 35 s after its last export,
/// so with 60 s every series would be absent for 25 s of each minute. 15 s is also the scrape interval that ships.
const EXPORT_INTERVAL: u64 = 15_000;

const DAY_IN_MILLISECONDS: u64 = 86_400_000;

const SWITCH: Choice<bool> = Choice(&[("true", true), ("false", false)]);

const PROTOCOL: Choice<OtlpProtocol> = Choice(&[
    ("grpc", OtlpProtocol::Grpc),
    ("http/protobuf", OtlpProtocol::HttpProtobuf),
]);

/// Where a signal can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exporter {
    Otlp,
    Prometheus,
    None,
}

const EXPORTER: Choice<Exporter> = Choice(&[("otlp", Exporter::Otlp), ("none", Exporter::None)]);

const METRICS_EXPORTER: Choice<Exporter> = Choice(&[
    ("otlp", Exporter::Otlp),
    ("prometheus", Exporter::Prometheus),
    ("none", Exporter::None),
]);

/// The endpoint that all signals share, and the protocol.
struct Shared {
    endpoint: Option<Url>,
    protocol: Option<OtlpProtocol>,
}

/// Reads all of them.
pub(super) fn settings(reader: &mut Reader<'_>) -> Result<OtelSettings, Reported> {
    let disabled = given(reader, "OTEL_SDK_DISABLED", &AnyCase(SWITCH));
    let interval = Number {
        least: 1,
        most: DAY_IN_MILLISECONDS,
    };
    let interval = given(reader, "OTEL_METRIC_EXPORT_INTERVAL", &interval);
    let endpoint = given(reader, "OTEL_EXPORTER_OTLP_ENDPOINT", &Endpoint);
    let protocol = given(reader, "OTEL_EXPORTER_OTLP_PROTOCOL", &PROTOCOL);
    let shared = endpoint.and_then(|endpoint| {
        let protocol = protocol?;
        Ok(Shared { endpoint, protocol })
    });
    let pages = given(reader, "OTEL_METRICS_EXPORTER", &Several(METRICS_EXPORTER));
    let metrics = target(reader, "metrics", &pages, &shared);
    let exporters = given(reader, "OTEL_TRACES_EXPORTER", &Several(EXPORTER));
    let traces = target(reader, "traces", &exporters, &shared);
    let exporters = given(reader, "OTEL_LOGS_EXPORTER", &Several(EXPORTER));
    let logs = target(reader, "logs", &exporters, &shared);

    let disabled = disabled?.unwrap_or(false);
    let none = |list: &Vec<Exporter>| list.contains(&Exporter::None);
    Ok(OtelSettings {
        disabled,
        metrics: metrics?.filter(|_| !disabled),
        traces: traces?.filter(|_| !disabled),
        logs: logs?.filter(|_| !disabled),
        prometheus: !disabled && !pages?.as_ref().is_some_and(none),
        metric_export_interval: Duration::from_millis(interval?.unwrap_or(EXPORT_INTERVAL)),
    })
}

/// Where one signal goes, if anywhere.
fn target(
    reader: &mut Reader<'_>,
    signal: &str,
    exporters: &Result<Option<Vec<Exporter>>, Reported>,
    shared: &Result<Shared, Reported>,
) -> Result<Option<OtlpTarget>, Reported> {
    let upper = signal.to_ascii_uppercase();
    let endpoint = given(
        reader,
        &format!("OTEL_EXPORTER_OTLP_{upper}_ENDPOINT"),
        &Endpoint,
    );
    let protocol = given(
        reader,
        &format!("OTEL_EXPORTER_OTLP_{upper}_PROTOCOL"),
        &PROTOCOL,
    );
    let (endpoint, protocol) = (endpoint?, protocol?);
    let exporters = exporters.as_ref().map_err(|reported| *reported)?;
    let shared = shared.as_ref().map_err(|reported| *reported)?;

    let named = endpoint.is_some() || shared.endpoint.is_some();
    let exported = |list: &Vec<Exporter>| list.contains(&Exporter::Otlp);
    if !exporters.as_ref().map_or(named, exported) {
        return Ok(None);
    }
    let protocol = protocol
        .or(shared.protocol)
        .unwrap_or(OtlpProtocol::HttpProtobuf);
    let endpoint = match (endpoint, &shared.endpoint) {
        (Some(own), _) => own,
        (None, Some(base)) => of_signal(base.clone(), protocol, signal),
        (None, None) => of_signal(default_endpoint(reader, protocol)?, protocol, signal),
    };
    Ok(Some(OtlpTarget { protocol, endpoint }))
}

/// The specification's defaults.
fn default_endpoint(reader: &mut Reader<'_>, protocol: OtlpProtocol) -> Result<Url, Reported> {
    let text = match protocol {
        OtlpProtocol::Grpc => "http://localhost:4317",
        OtlpProtocol::HttpProtobuf => "http://localhost:4318",
    };
    let origin = Origin::Default("OTEL_EXPORTER_OTLP_ENDPOINT");
    Endpoint
        .read(text)
        .map_err(|problem| reader.faults.report(origin, None, problem))
}

/// An endpoint for all signals as one signal calls it.
fn of_signal(mut base: Url, protocol: OtlpProtocol, signal: &str) -> Url {
    if protocol == OtlpProtocol::HttpProtobuf {
        let path = format!("{}/v1/{signal}", base.path().trim_end_matches('/'));
        base.set_path(&path);
    }
    base
}

fn given<F: Form>(
    reader: &mut Reader<'_>,
    variable: &str,
    form: &F,
) -> Result<Option<F::Value>, Reported> {
    let Some(found) = reader.variable(variable)? else {
        return Ok(None);
    };
    let text = found.text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    match form.read(text) {
        Ok(value) => Ok(Some(value)),
        Err(problem) => {
            let shown = form.may_show(text).then_some(found.written);
            Err(reader.faults.report(found.origin, shown, problem))
        }
    }
}

/// A form whose words may be written in upper case too.
struct AnyCase<F>(F);

impl<F: Form> Form for AnyCase<F> {
    type Value = F::Value;

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn read(&self, text: &str) -> Result<F::Value, Problem> {
        self.0.read(&text.to_ascii_lowercase())
    }
}

/// Exporters with commas between them.
struct Several(Choice<Exporter>);

impl Form for Several {
    type Value = Vec<Exporter>;

    fn expected(&self) -> String {
        format!(
            "{}, or several with commas between them; none stands alone",
            self.0.expected()
        )
    }

    fn read(&self, text: &str) -> Result<Vec<Exporter>, Problem> {
        let items = text.split(',').map(|item| self.0.read(item.trim()));
        match items.collect::<Result<Vec<_>, _>>() {
            Ok(list) if list.len() == 1 || !list.contains(&Exporter::None) => Ok(list),
            _ => Err(self.unexpected()),
        }
    }
}

/// The URL of a collector.
struct Endpoint;

impl Form for Endpoint {
    type Value = Url;

    fn expected(&self) -> String {
        "a URL such as http://localhost:4318 or https://collector.example.org:4317".into()
    }

    fn may_show(&self, text: &str) -> bool {
        // Someone may have written a password into it.
        !text.contains('@')
    }

    fn read(&self, text: &str) -> Result<Url, Problem> {
        let url = Url::parse(text).map_err(|_| self.unexpected())?;
        if has_credentials(&url) {
            return Err(Problem::Expected(
                "a URL without user name and password: they belong into OTEL_EXPORTER_OTLP_HEADERS"
                    .into(),
            ));
        }
        match url.scheme() {
            "http" | "https" => Ok(url),
            _ => Err(self.unexpected()),
        }
    }
}
