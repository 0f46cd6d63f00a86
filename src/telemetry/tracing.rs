//! Logs and spans: lines for people and machines, and what of both goes out by OTLP.
//!
//! | what | where it goes | which |
//! |---|---|---|
//! | log lines | standard error, so that the output of commands stays clean | by the log filter |
//! | log records | OTLP, where there is a target for logs | by the log filter, without the exporters' own |
//! | spans | OTLP, where there is a target for traces | `info` and above, without the exporters' own |

use std::{io::IsTerminal, sync::Arc};

use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Level, Metadata, Span, Subscriber, level_filters::LevelFilter};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

use super::{Telemetry, TelemetryError, complaints::Complaints};
use crate::{
    clock::{Clock, SystemClock},
    config::{LogFormat, LogSettings},
};

/// Sets up logs and spans for the whole process, once.
///
/// # Errors
///
/// [`TelemetryError::Filter`] if the filter cannot be read; [`TelemetryError::Installed`] the second time.
pub fn install(log: &LogSettings, telemetry: &Telemetry) -> Result<(), TelemetryError> {
    let output = Output {
        writer: std::io::stderr,
        terminal: std::io::stderr().is_terminal(),
    };
    subscriber(log, telemetry, output, Arc::new(SystemClock::default()))?.try_init()?;
    Ok(())
}

/// Where lines go.
#[derive(Clone, Copy, Debug)]
pub struct Output<W> {
    /// Makes a writer for each line.
    pub writer: W,
    /// True for a terminal: [`LogFormat::Auto`] is for people then, and in colour.
    pub terminal: bool,
}

/// What [`install`] sets up, for one thread or one program of your own. `clock` tells how long a complaint of the SDK
/// has not been repeated.
///
/// # Errors
///
/// [`TelemetryError::Filter`] if the filter cannot be read.
pub fn subscriber<W>(
    log: &LogSettings,
    telemetry: &Telemetry,
    output: Output<W>,
    clock: Arc<dyn Clock>,
) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let human = match log.format {
        LogFormat::Auto => output.terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = fmt::layer().with_writer(output.writer);
    let lines = match (human, output.terminal) {
        (true, true) => lines.boxed(),
        (true, false) => lines.with_ansi(false).boxed(),
        (false, _) => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    let wanted = EnvFilter::try_new(&log.filter)?.and(filter_fn(makes_a_line));
    let lines = lines.with_filter(wanted.and(Complaints::new(clock)));

    // Only those that there are: one that is `None` would make the registry ask for every span all the same.
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    if let Some(provider) = &telemetry.spans {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("skriptoteket"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(LevelFilter::INFO.and(filter_fn(may_leave)));
        layers.push(spans.boxed());
    }
    if let Some(provider) = &telemetry.logs {
        let wanted = EnvFilter::try_new(&log.filter)?.and(filter_fn(makes_a_line));
        let filter = wanted.and(filter_fn(may_leave));
        let records = OpenTelemetryTracingBridge::new(provider).with_filter(filter);
        layers.push(records.boxed());
    }
    layers.push(lines.boxed());
    Ok(registry().with(layers))
}

/// Makes `span` a child of the span that a W3C `traceparent` header names. Without a valid one it stays as it is.
///
/// `get` looks a header up by its lower-case name. Call this before the span is entered for the first time.
pub fn remote_parent<'a>(span: &Span, get: impl Fn(&str) -> Option<&'a str>) {
    let headers = Headers {
        parent: get("traceparent"),
        state: get("tracestate"),
    };
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    if parent.span().span_context().is_valid() {
        // It fails where spans are not exported; then there is nothing to join.
        let _ = span.set_parent(parent);
    }
}

/// The headers of the W3C trace context.
struct Headers<'a> {
    parent: Option<&'a str>,
    state: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.parent,
            "tracestate" => self.state,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// What exporters work with. Their events must not be exported: each export would cause the next.
const PLUMBING: [&str; 9] = [
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "reqwest",
    "rustls",
    "tonic",
    "tower",
    "want",
];

fn may_leave(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let root = target.split_once("::").map_or(target, |(root, _)| root);
    !root.starts_with("opentelemetry") && !PLUMBING.contains(&root)
}

/// Events only: what lines would tell of spans is not worth what it costs, and without an exporter nobody asks for
/// spans at all. Not what the server's crates say of each malformed request and each junk cookie: with that, whoever
/// sends them writes our log. Requests are counted.
fn makes_a_line(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let of_clients = target.starts_with("actix_http")
        || (target.starts_with("actix_session") && *metadata.level() != Level::ERROR);
    metadata.is_event() && !of_clients
}

#[cfg(test)]
mod tests;
