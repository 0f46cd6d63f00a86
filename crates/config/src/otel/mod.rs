//! The standard variables of OpenTelemetry.
//!
//! [`OTEL_VARIABLES`] lists all variables that are read, here or by the SDK; each is checked, even if only the SDK
//! uses it. An empty variable counts as unset. The specification accepts invalid values with a warning, but here they
//! are faults: telemetry that silently goes nowhere is noticed only when it is needed. A valid value without effect
//! causes a warning.
//!
//! | file | contents |
//! |---|---|
//! | `variables` | the table, and warnings about variables that are not in it |
//! | `forms` | the syntax of values |
//! | `tls` | certificates and keys |

mod forms;
#[cfg(test)]
mod tests;
mod tls;
mod variables;

use std::time::Duration;

use url::Url;

use skriptoteket_telemetry::{
    OtelSettings, OtlpProtocol, OtlpTarget, OtlpTls, SampledShare, TraceSampler,
};

use self::forms::{
    Attributes, COMPRESSION, EXPORTER, Endpoint, Exporter, Headers, METRICS_EXPORTER, Name,
    PROTOCOL, Ratio, SWITCH, Several, TEMPORALITY,
};
use self::tls::TlsFiles;
use self::variables::{of_signal, warn, warn_of_the_others};
use crate::{
    environment::Environment,
    faults::{Faults, Origin, Reported},
    forms::{Choice, Form, Number},
    variables::Variables,
};

pub use self::variables::{OTEL_VARIABLES, OTEL_WITHOUT_EFFECT, OtelVariable};

/// Interval between exports of metrics if `OTEL_METRIC_EXPORT_INTERVAL` is unset, in milliseconds.
///
/// The specification's default is 60 s. The shipped Collector configuration drops a series 35 s after its last
/// export, so with 60 s every series would be absent for 25 s of each minute. 15 s is also the scrape interval of the
/// shipped configuration.
const EXPORT_INTERVAL: u64 = 15_000;

const DAY_IN_MILLISECONDS: u64 = 86_400_000;

const MILLISECONDS: Number<u64> = Number {
    least: 1,
    most: DAY_IN_MILLISECONDS,
};

/// The number of items in a queue or a batch. A span with its attributes takes about a kilobyte.
const ITEMS: Number<usize> = Number {
    least: 1,
    most: 1_000_000,
};

const LIMIT: Number<u32> = Number {
    least: 0,
    most: 10_000,
};

/// The default of `OTEL_BSP_MAX_QUEUE_SIZE` and `OTEL_BLRP_MAX_QUEUE_SIZE`.
const QUEUE: usize = 2_048;

/// What a sampler does with requests whose caller has not decided.
#[derive(Clone, Copy)]
enum Others {
    All,
    Nothing,
    Ratio,
}

const SAMPLER: Choice<(bool, Others)> = Choice(&[
    ("always_on", (false, Others::All)),
    ("always_off", (false, Others::Nothing)),
    ("traceidratio", (false, Others::Ratio)),
    ("parentbased_always_on", (true, Others::All)),
    ("parentbased_always_off", (true, Others::Nothing)),
    ("parentbased_traceidratio", (true, Others::Ratio)),
]);

/// The settings that are read twice: for all signals, and for one of them.
struct Level {
    endpoint: Option<Url>,
    protocol: Option<OtlpProtocol>,
    timeout: Option<Duration>,
    tls: TlsFiles,
}

/// Reads the settings of telemetry from the standard variables, and returns them with warnings: notes that are not
/// faults, one line each and without secrets. It reads the certificate and key files that variables name.
///
/// # Errors
///
/// All faults at once, without secrets.
pub fn otel_settings(environment: &Environment) -> Result<(OtelSettings, Vec<String>), Faults> {
    let mut variables = Variables::new(environment);
    match settings(&mut variables) {
        Ok(settings) if variables.faults.is_empty() => Ok((settings, variables.warnings)),
        _ => Err(variables.faults),
    }
}

/// Reads all variables. Faults are collected in `variables`, even if a value is returned.
///
/// # Errors
///
/// [`Reported`] if a fault was found.
pub fn settings(variables: &mut Variables<'_>) -> Result<OtelSettings, Reported> {
    let disabled = given(variables, "OTEL_SDK_DISABLED", &SWITCH);
    let interval = given(variables, "OTEL_METRIC_EXPORT_INTERVAL", &MILLISECONDS);
    let shared = level(variables, None);
    let pages = given(
        variables,
        "OTEL_METRICS_EXPORTER",
        &Several(METRICS_EXPORTER),
    );
    let metrics = target(variables, "metrics", &pages, &shared);
    let temporality = given(
        variables,
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        &TEMPORALITY,
    );
    let exporters = given(variables, "OTEL_TRACES_EXPORTER", &Several(EXPORTER));
    let traces = target(variables, "traces", &exporters, &shared);
    let exporters = given(variables, "OTEL_LOGS_EXPORTER", &Several(EXPORTER));
    let logs = target(variables, "logs", &exporters, &shared);
    let sampler = sampler(variables);
    let resource = resource(variables);
    let batches = [
        batches(variables, "OTEL_BSP"),
        batches(variables, "OTEL_BLRP"),
    ];
    let limits = ["ATTRIBUTE", "EVENT", "LINK"]
        .map(|of| given(variables, &format!("OTEL_SPAN_{of}_COUNT_LIMIT"), &LIMIT));
    warn_of_the_others(variables);

    temporality?;
    batches.into_iter().collect::<Result<Vec<()>, _>>()?;
    limits.into_iter().collect::<Result<Vec<_>, _>>()?;
    let disabled = disabled?.unwrap_or(false);
    let none = |list: &Vec<Exporter>| list.contains(&Exporter::None);
    Ok(OtelSettings {
        disabled,
        metrics: metrics?.filter(|_| !disabled),
        traces: traces?.filter(|_| !disabled),
        logs: logs?.filter(|_| !disabled),
        prometheus: !disabled && !pages?.as_ref().is_some_and(none),
        metric_export_interval: Duration::from_millis(interval?.unwrap_or(EXPORT_INTERVAL)),
        sampler: sampler?,
        resource: resource?,
    })
}

/// Reads the settings of an endpoint, for all signals or for one of them.
fn level(variables: &mut Variables<'_>, signal: Option<&str>) -> Result<Level, Reported> {
    let name = |rest: &str| {
        let general = format!("OTEL_EXPORTER_OTLP_{rest}");
        signal.map_or_else(|| general.clone(), |signal| of_signal(&general, signal))
    };
    let endpoint = given(variables, &name("ENDPOINT"), &Endpoint);
    let protocol = given(variables, &name("PROTOCOL"), &PROTOCOL);
    let timeout = given(variables, &name("TIMEOUT"), &MILLISECONDS);
    // The exporters read these themselves.
    let headers = given(variables, &name("HEADERS"), &Headers);
    let compression = given(variables, &name("COMPRESSION"), &COMPRESSION);
    let insecure = given(variables, &name("INSECURE"), &SWITCH);
    let tls = tls::files(variables, signal);
    if let Ok(Some(_)) = insecure {
        let note = "has no effect: the endpoint begins with http:// or https://".into();
        warn(variables, name("INSECURE"), note);
    }
    headers?;
    compression?;
    insecure?;
    Ok(Level {
        endpoint: endpoint?,
        protocol: protocol?,
        timeout: timeout?.map(Duration::from_millis),
        tls: tls?,
    })
}

/// Returns the target of one signal, if it is exported.
fn target(
    variables: &mut Variables<'_>,
    signal: &str,
    exporters: &Result<Option<Vec<Exporter>>, Reported>,
    shared: &Result<Level, Reported>,
) -> Result<Option<OtlpTarget>, Reported> {
    let own = level(variables, Some(signal))?;
    let exporters = exporters.as_ref().map_err(|reported| *reported)?;
    let shared = shared.as_ref().map_err(|reported| *reported)?;

    let tls = tls::of(variables, &own.tls, &shared.tls)?;
    let named = own.endpoint.is_some() || shared.endpoint.is_some();
    let exported = |list: &Vec<Exporter>| list.contains(&Exporter::Otlp);
    if !exporters.as_ref().map_or(named, exported) {
        return Ok(None);
    }
    let protocol = own
        .protocol
        .or(shared.protocol)
        .unwrap_or(OtlpProtocol::HttpProtobuf);
    let general = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let (variable, endpoint) = match (own.endpoint, &shared.endpoint) {
        (Some(own), _) => (of_signal(general, signal), own),
        (None, Some(base)) => (general.into(), with_path(base.clone(), protocol, signal)),
        (None, None) => {
            let base = default_endpoint(variables, protocol)?;
            (general.into(), with_path(base, protocol, signal))
        }
    };
    if let Some(note) = doubtful(&endpoint, protocol, tls != OtlpTls::default()) {
        warn(variables, variable, note.into());
    }
    let timeout = own.timeout.or(shared.timeout);
    Ok(Some(OtlpTarget {
        timeout: timeout.unwrap_or(OtlpTarget::DEFAULT_TIMEOUT),
        tls,
        ..OtlpTarget::new(protocol, endpoint)
    }))
}

/// Returns a warning about an endpoint that is valid but probably not intended.
fn doubtful(
    endpoint: &Url,
    protocol: OtlpProtocol,
    has_certificates: bool,
) -> Option<&'static str> {
    match (protocol, endpoint.port()) {
        (OtlpProtocol::HttpProtobuf, Some(4317)) => {
            return Some(
                "port 4317 is that of gRPC by default, but the protocol is http/protobuf: set \
                 OTEL_EXPORTER_OTLP_PROTOCOL=grpc, or use port 4318",
            );
        }
        (OtlpProtocol::Grpc, Some(4318)) => {
            return Some(
                "port 4318 is that of HTTP by default, but the protocol is grpc: set \
                 OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or use port 4317",
            );
        }
        _ => {}
    }
    if has_certificates && endpoint.scheme() == "http" {
        return Some("the certificates have no effect: the endpoint is http");
    }
    let twice = endpoint.path().matches("/v1/").count() > 1;
    if protocol == OtlpProtocol::HttpProtobuf && twice {
        return Some(
            "the path is added to this endpoint; leave /v1/… out, or name the signal's own variable",
        );
    }
    None
}

/// Returns the default endpoint of the specification.
fn default_endpoint(
    variables: &mut Variables<'_>,
    protocol: OtlpProtocol,
) -> Result<Url, Reported> {
    let text = match protocol {
        OtlpProtocol::Grpc => "http://localhost:4317",
        OtlpProtocol::HttpProtobuf => "http://localhost:4318",
    };
    let origin = Origin::Default("OTEL_EXPORTER_OTLP_ENDPOINT");
    Endpoint
        .read(text)
        .map_err(|problem| variables.faults.report(origin, None, problem))
}

/// Returns the endpoint of one signal, from the endpoint of all signals.
fn with_path(mut base: Url, protocol: OtlpProtocol, signal: &str) -> Url {
    if protocol == OtlpProtocol::HttpProtobuf {
        let path = format!("{}/v1/{signal}", base.path().trim_end_matches('/'));
        base.set_path(&path);
    }
    base
}

fn sampler(variables: &mut Variables<'_>) -> Result<TraceSampler, Reported> {
    let name = given(variables, "OTEL_TRACES_SAMPLER", &SAMPLER);
    let ratio = given(variables, "OTEL_TRACES_SAMPLER_ARG", &Ratio);
    let (name, ratio) = (name?, ratio?);
    let default = TraceSampler::default();
    let Some((parent_based, others)) = name else {
        let others = ratio.map_or(default.others, SampledShare::from_ratio);
        return Ok(TraceSampler { others, ..default });
    };
    let others = match others {
        Others::All => SampledShare::ALL,
        Others::Nothing => SampledShare::Nothing,
        // The specification's default if a sampler is named.
        Others::Ratio => ratio.map_or(SampledShare::ALL, SampledShare::from_ratio),
    };
    if ratio.is_some() && !matches!(name, Some((_, Others::Ratio))) {
        let note = "has no effect: the sampler in OTEL_TRACES_SAMPLER takes no argument".into();
        warn(variables, "OTEL_TRACES_SAMPLER_ARG".into(), note);
    }
    Ok(TraceSampler {
        parent_based,
        others,
    })
}

fn resource(variables: &mut Variables<'_>) -> Result<Vec<(String, String)>, Reported> {
    let name = given(variables, "OTEL_SERVICE_NAME", &Name);
    let attributes = given(variables, "OTEL_RESOURCE_ATTRIBUTES", &Attributes);
    let (name, attributes) = (name?, attributes?);
    let mut resource = attributes.unwrap_or_default();
    resource.extend(name.map(|name| (String::from("service.name"), name)));
    Ok(resource)
}

/// Checks the sizes of a batch processor, which the SDK reads itself.
fn batches(variables: &mut Variables<'_>, prefix: &str) -> Result<(), Reported> {
    let delay = given(
        variables,
        &format!("{prefix}_SCHEDULE_DELAY"),
        &MILLISECONDS,
    );
    let queue = given(variables, &format!("{prefix}_MAX_QUEUE_SIZE"), &ITEMS);
    let name = format!("{prefix}_MAX_EXPORT_BATCH_SIZE");
    let batch = given(variables, &name, &ITEMS);
    delay?;
    let (queue, batch) = (queue?.unwrap_or(QUEUE), batch?);
    if batch.is_some_and(|batch| batch > queue) {
        let note = format!("is limited to {queue}, the value of {prefix}_MAX_QUEUE_SIZE");
        warn(variables, name, note);
    }
    Ok(())
}

fn given<F: Form>(
    variables: &mut Variables<'_>,
    variable: &str,
    form: &F,
) -> Result<Option<F::Value>, Reported> {
    let Some(found) = variables.variable(variable)? else {
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
            Err(variables.faults.report(found.origin, shown, problem))
        }
    }
}
