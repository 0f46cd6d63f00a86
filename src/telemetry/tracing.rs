//! Logs and spans: lines for people and machines, and what of both goes out by OTLP.
//!
//! | what | where it goes | which |
//! |---|---|---|
//! | log lines | standard error, so that the output of commands stays clean | by the log filter |
//! | log records | OTLP, where there is a target for logs | by the log filter, this crate's own only |
//! | spans | OTLP, where there is a target for traces | `debug` and above, of sampled requests, this crate's own only |
//!
//! Events of other crates are written as lines, each at most once a minute, and never exported: any of them can come from
//! an export that fails, and exporting it would cause the next failure.

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
use crate::{
    clock::{Clock, SystemClock},
    telemetry::{LogFormat, LogSettings},
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

/// What [`install`] sets up, for one thread. `clock` tells how long an event of another crate has not been repeated.
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
            .map_event_format(JsonLines::new)
            .boxed(),
    };
    let wanted = EnvFilter::try_new(&log.filter)?.and(at_any_level(is_no_echo));
    let lines = lines.with_filter(wanted.and(SdkLogFilter::new(clock)));

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

/// Gives a span another name while it runs. Where spans are not exported it does nothing.
///
/// Recording the field `otel.name` would not do it: tracing-opentelemetry 0.34 forgets a name that comes after the span
/// was entered for the first time.
pub fn rename(span: &Span, name: impl Into<Cow<'static, str>>) {
    span.context().span().update_name(name.into());
}

/// What belongs to a trace.
///
/// * A span that says its `otel.kind` begins one, unless it says that it is not `traced`.
/// * Other spans from `debug` on belong to the trace that they are in, if any. So spans cost nothing where no traces are
///   exported, and next to nothing in a request that is not sampled.
/// * Events from `info` on belong to the span that they are in.
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

/// A filter that leaves the level to the one beside it: without a hint of its own it would take that one's away, and
/// spans that nobody wants be asked for, and refused, at every request.
fn at_any_level(passes: fn(&Metadata<'_>) -> bool) -> FilterFn<fn(&Metadata<'_>) -> bool> {
    FilterFn::new(passes).with_max_level_hint(LevelFilter::TRACE)
}

/// True for what may be exported: events and spans of this crate, but for those about failing exports.
///
/// A list of what may leave, not of what may not: every crate below an exporter can log (TLS, DNS, HTTP), the list of
/// those that do changes with every update, and one that is missing from it is a loop.
fn may_leave(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    is_own(target) && target != export::TARGET
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
pub(super) mod tests;
