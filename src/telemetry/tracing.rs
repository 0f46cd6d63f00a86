//! Logs and spans: lines for people and machines, and what of both goes out by OTLP.
//!
//! | what | where it goes | which |
//! |---|---|---|
//! | log lines | standard error, so that the output of commands stays clean | by the log filter |
//! | log records | OTLP, where there is a target for logs | by the log filter, without the exporters' own |
//! | spans | OTLP, where there is a target for traces | `debug` and above, without the exporters' own |

use std::{borrow::Cow, io::IsTerminal, sync::Arc};

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
    EnvFilter, Layer,
    filter::{FilterExt, FilterFn, filter_fn},
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
    let wanted = EnvFilter::try_new(&log.filter)?.and(at_any_level(is_no_echo));
    let lines = lines.with_filter(wanted.and(Complaints::new(clock)));

    let records = match &telemetry.logs {
        Some(provider) => {
            let wanted = EnvFilter::try_new(&log.filter)?.and(at_any_level(is_no_echo));
            let filter = wanted.and(at_any_level(may_leave));
            Some(OpenTelemetryTracingBridge::new(provider).with_filter(filter))
        }
        None => None,
    };
    let spans = telemetry.spans.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("skriptoteket"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(
                filter_fn(|it| belongs_to_a_trace(it) && may_leave(it))
                    .with_max_level_hint(LevelFilter::DEBUG),
            )
    });
    Ok(registry().with(spans).with(records).with(lines))
}

/// Makes `span` a child of the span that a W3C `traceparent` header names. Without a valid one it stays as it is.
///
/// `get` looks a header up by its lower-case name. Call this before the span is entered for the first time. The
/// `tracestate` header is not read: it is free text from anyone, and would leave with the span.
pub fn remote_parent<'a>(span: &Span, get: impl Fn(&str) -> Option<&'a str>) {
    let header = TraceParent(get("traceparent"));
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &header);
    if parent.span().span_context().is_valid() {
        // It fails where spans are not exported; then there is nothing to join.
        let _ = span.set_parent(parent);
    }
}

/// Gives a span another name while it runs. Where spans are not exported it does nothing.
///
/// Recording the field `otel.name` would not do it: tracing-opentelemetry 0.34 forgets a name that comes after the span
/// was entered for the first time.
pub fn rename(span: &Span, name: impl Into<Cow<'static, str>>) {
    span.context().span().update_name(name.into());
}

/// The one header of the W3C trace context that is read.
struct TraceParent<'a>(Option<&'a str>);

impl Extractor for TraceParent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.filter(|_| key == "traceparent")
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// Spans of a request are of level `debug`, so that they cost nothing where no traces are exported; what is said within
/// them belongs to the trace from `info` on.
fn belongs_to_a_trace(metadata: &Metadata<'_>) -> bool {
    let most = if metadata.is_span() {
        Level::DEBUG
    } else {
        Level::INFO
    };
    *metadata.level() <= most
}

/// A filter that leaves the level to the one beside it: without a hint of its own it would take that one's away, and
/// spans that nobody wants be asked for, and refused, at every request.
fn at_any_level(passes: fn(&Metadata<'_>) -> bool) -> FilterFn<fn(&Metadata<'_>) -> bool> {
    FilterFn::new(passes).with_max_level_hint(LevelFilter::TRACE)
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

/// False for what the server's crates say of each malformed request and each junk cookie: with that, whoever sends them
/// writes our log. Requests are counted.
fn is_no_echo(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let of_clients = target.starts_with("actix_http")
        || (target.starts_with("actix_session") && *metadata.level() != Level::ERROR);
    !of_clients
}

#[cfg(test)]
mod tests;
