//! Logs and spans: log lines for people and machines, and the log records and spans that are exported over OTLP.
//!
//! | what | destination | filter |
//! |---|---|---|
//! | log lines | standard error, so that the output of commands stays clean | the log filter |
//! | log records | OTLP, if logs have a target | the log filter, this crate only |
//! | spans | OTLP, if traces have a target | `debug` and above, of sampled requests, this crate only |
//!
//! Events of other crates are written as lines, each at most once a minute, and never exported: any of them can come
//! from a failing export, and exporting it would cause the next failure.

use std::{borrow::Cow, io::IsTerminal, sync::Arc};

use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use tracing::{
    Level, Metadata, Span, Subscriber, level_filters::LevelFilter, subscriber::Interest,
};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, FilterFn, dynamic_filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

use super::{
    Telemetry, TelemetryError, export,
    lines::JsonLines,
    sdk_log_filter::{SdkLogFilter, is_own},
};
use crate::{LogFormat, LogSettings};
use skriptoteket_core::clock::{Clock, SystemClock};

/// Sets up logs and spans for the whole process, once.
///
/// # Errors
///
/// [`TelemetryError::Filter`] if the filter cannot be parsed; [`TelemetryError::Installed`] on a second call.
pub fn install(log: &LogSettings, telemetry: &Telemetry) -> Result<(), TelemetryError> {
    let output = Output {
        writer: std::io::stderr,
        terminal: std::io::stderr().is_terminal(),
    };
    subscriber(log, telemetry, output, Arc::new(SystemClock::default()))?.try_init()?;
    Ok(())
}

/// The destination of log lines.
#[derive(Clone, Copy, Debug)]
pub struct Output<W> {
    /// Creates a writer for each line.
    pub writer: W,
    /// True for a terminal: [`LogFormat::Auto`] then selects the human-readable format, in colour.
    pub terminal: bool,
}

/// Creates the subscriber that [`install`] sets up, for one thread. `clock` measures how long an event of another
/// crate has not been repeated.
///
/// # Errors
///
/// [`TelemetryError::Filter`] if the filter cannot be parsed.
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
            .map_event_format(JsonLines::new)
            .boxed(),
    };
    let wanted = EnvFilter::try_new(&log.filter)?.and(at_any_level(is_no_echo));
    let lines = lines.with_filter(wanted.and(SdkLogFilter::new(clock)));

    let records = match &telemetry.signals.logs {
        Some(provider) => {
            let wanted = EnvFilter::try_new(&log.filter)?.and(at_any_level(is_no_echo));
            let filter = wanted.and(at_any_level(may_leave));
            Some(OpenTelemetryTracingBridge::new(provider).with_filter(filter))
        }
        None => None,
    };
    let spans = telemetry.signals.spans.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("skriptoteket"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(
                dynamic_filter_fn(|it, context| {
                    traced(it).is_always()
                        || (traced(it).is_sometimes() && context.lookup_current().is_some())
                })
                .with_callsite_filter(|it| traced(it))
                .with_max_level_hint(LevelFilter::DEBUG),
            )
    });
    Ok(registry().with(spans).with(records).with(lines))
}

/// Renames a span while it runs. Does nothing if spans are not exported.
///
/// Recording the field `otel.name` would have no effect: tracing-opentelemetry 0.34 ignores a name that is recorded
/// after the span was entered for the first time.
pub fn rename(span: &Span, name: impl Into<Cow<'static, str>>) {
    span.context().span().update_name(name.into());
}

/// Selects what belongs to a trace.
///
/// * A span with an `otel.kind` starts a trace, unless it has a `traced` field, which marks spans that are not traced.
/// * Other spans at level `debug` and above belong to the trace that they are in, if any. So spans cost nothing if no
///   traces are exported, and almost nothing in a request that is not sampled.
/// * Events at level `info` and above belong to the span that they are in.
fn traced(metadata: &Metadata<'_>) -> Interest {
    let most = if metadata.is_span() {
        Level::DEBUG
    } else {
        Level::INFO
    };
    let says = |name| metadata.fields().field(name).is_some();
    if *metadata.level() > most || !may_leave(metadata) || says("traced") {
        Interest::never()
    } else if metadata.is_event() || says("otel.kind") {
        Interest::always()
    } else {
        Interest::sometimes()
    }
}

/// A filter that leaves the level to the other filter of the layer: without a hint of its own it would cancel that
/// filter's hint, and spans that are disabled would be checked and rejected at every request.
fn at_any_level(passes: fn(&Metadata<'_>) -> bool) -> FilterFn<fn(&Metadata<'_>) -> bool> {
    FilterFn::new(passes).with_max_level_hint(LevelFilter::TRACE)
}

/// Returns true for what may be exported: events and spans of this crate, except those about failed exports.
///
/// An allow-list, not a deny-list: every crate below an exporter can log (TLS, DNS, HTTP), the list of those that do
/// changes with every update, and one that is missing from it causes a loop.
fn may_leave(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    is_own(target) && target != export::TARGET
}

/// Returns false for what the server's crates log about each malformed request and each invalid cookie: otherwise a
/// client could fill the log. These requests are counted.
fn is_no_echo(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let of_clients = target.starts_with("actix_http")
        || (target.starts_with("actix_session") && *metadata.level() != Level::ERROR);
    !of_clients
}

#[cfg(test)]
pub(super) mod tests;
