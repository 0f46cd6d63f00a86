//! Lines, records and spans, caught before they leave.

use std::{
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter, SdkLoggerProvider},
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tracing::subscriber::with_default;

use super::*;
use crate::clock::ManualClock;

/// Keeps what it is given. Cheap to clone; all clones share one list.
#[derive(Debug)]
struct Kept<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Kept<T> {
    fn all(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Kept<u8> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.all().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpanExporter for Kept<SpanData> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.all().extend(batch);
        Ok(())
    }
}

impl LogExporter for Kept<String> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let records = batch.iter().map(|(record, _)| format!("{record:?}"));
        self.all().extend(records);
        Ok(())
    }
}

/// Everything that came of running something with logs set up.
struct Heard {
    lines: Vec<String>,
    records: Vec<String>,
    spans: Vec<SpanData>,
}

fn hear(log: &LogSettings, terminal: bool, clock: &Arc<ManualClock>, say: impl FnOnce()) -> Heard {
    let (lines, records, spans) = <(Kept<u8>, Kept<String>, Kept<SpanData>)>::default();
    let telemetry = Telemetry {
        spans: Some(
            SdkTracerProvider::builder()
                .with_simple_exporter(spans.clone())
                .build(),
        ),
        logs: Some(
            SdkLoggerProvider::builder()
                .with_simple_exporter(records.clone())
                .build(),
        ),
        ..Telemetry::disabled()
    };
    let copy = lines.clone();
    let output = Output {
        writer: move || copy.clone(),
        terminal,
    };
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    with_default(subscriber(log, &telemetry, output, clock).unwrap(), say);
    let lines = String::from_utf8(lines.all().clone()).unwrap();
    Heard {
        lines: lines.lines().map(String::from).collect(),
        records: records.all().clone(),
        spans: spans.all().clone(),
    }
}

fn heard(say: impl FnOnce()) -> Heard {
    hear(&logs(LogFormat::Json), false, &Arc::default(), say)
}

fn logs(format: LogFormat) -> LogSettings {
    LogSettings {
        filter: String::from("info"),
        format,
    }
}

#[test]
fn lines_are_for_people_on_a_terminal_and_json_elsewhere() {
    let say = || tracing::info!(port = 8080, "ready");
    let line = |format, terminal| {
        let heard = hear(&logs(format), terminal, &Arc::default(), say);
        assert_eq!(heard.lines.len(), 1);
        heard.lines[0].clone()
    };
    for json in [
        line(LogFormat::Auto, false),
        line(LogFormat::Json, false),
        line(LogFormat::Json, true),
    ] {
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["message"], "ready");
        assert_eq!(json["port"], 8080);
        assert_eq!(json["level"], "INFO");
    }
    assert!(line(LogFormat::Human, false).ends_with("ready port=8080"));
    for human in [line(LogFormat::Auto, true), line(LogFormat::Human, true)] {
        assert!(human.contains("ready") && !human.contains('{'), "{human}");
    }
}

#[test]
fn the_filter_holds_for_lines_and_records() {
    let settings = LogSettings {
        filter: String::from("warn,chatty=off"),
        format: LogFormat::Json,
    };
    let heard = hear(&settings, false, &Arc::default(), || {
        tracing::info!("too much detail");
        tracing::error!(target: "chatty::inner", "too much noise");
        tracing::warn!("worth it");
    });
    assert_eq!((heard.lines.len(), heard.records.len()), (1, 1));
    assert!(heard.lines[0].contains("worth it"));
    assert!(heard.records[0].contains("worth it"));
}

#[test]
fn a_filter_that_cannot_be_read_is_an_error() {
    let log = LogSettings {
        filter: String::from("skriptoteket=loud"),
        format: LogFormat::Json,
    };
    let output = Output {
        writer: io::sink,
        terminal: false,
    };
    let clock = Arc::new(ManualClock::default());
    let result = subscriber(&log, &Telemetry::disabled(), output, clock);
    assert!(matches!(result, Err(TelemetryError::Filter(_))));
}

#[test]
fn failing_exports_say_so_once_a_minute() {
    let clock = Arc::new(ManualClock::default());
    let heard = hear(&logs(LogFormat::Json), false, &clock, || {
        // What SDK 0.33 logs when the Collector is away, on ten exports of each signal in each of two minutes.
        for _minute in 0..2 {
            for _ in 0..10 {
                tracing::warn!(name: "Export.Failed.NonRetryable", target: "opentelemetry-otlp", "lost");
                tracing::error!(name: "PeriodicReader.ExportError", target: "opentelemetry_sdk", "refused");
                tracing::error!(name: "BatchSpanProcessor.ExportError", target: "opentelemetry_sdk", "refused");
                tracing::error!(name: "BatchLogProcessor.ExportError", target: "opentelemetry_sdk", "refused");
                clock.advance(Duration::from_secs(6));
            }
        }
        tracing::error!(name: "BatchSpanProcessor.Shutdown.Timeout", target: "opentelemetry_sdk", "late");
        tracing::warn!(name: "BatchLogProcessor.Emit.AfterShutdown", target: "opentelemetry_sdk", "over");
    });
    assert_eq!(heard.lines.len(), 2, "{:?}", heard.lines);
    assert!(heard.lines.iter().all(|line| line.contains("refused")));
}

#[test]
fn other_complaints_and_our_own_lines_are_not_lost_among_failing_exports() {
    let heard = heard(|| {
        for _ in 0..3 {
            tracing::error!(name: "PeriodicReader.ExportError", target: "opentelemetry_sdk", "refused");
            tracing::warn!(name: "BatchSpanProcessor.SpanDroppingStarted", target: "opentelemetry_sdk", "full");
            tracing::error!(name: "PeriodicReader.ExportError", "ours");
        }
    });
    let count = |text| heard.lines.iter().filter(|it| it.contains(text)).count();
    assert_eq!((count("refused"), count("full"), count("ours")), (1, 1, 3));
}

#[test]
fn what_exporters_say_is_never_exported() {
    let heard = heard(|| {
        for_each_plumber();
        let _ours = tracing::info_span!("ours").entered();
        tracing::info!("ours");
    });
    assert_eq!(heard.records.len(), 1);
    assert!(heard.records[0].contains("ours"));
    let names: Vec<_> = heard.spans.iter().map(|it| it.name.as_ref()).collect();
    assert_eq!(names, ["ours"]);
}

/// The macros want their targets as constants.
fn for_each_plumber() {
    macro_rules! say {
        ($($target:literal)*) => { $(
            let _span = tracing::info_span!(target: $target, "theirs").entered();
            tracing::info!(target: $target, "theirs");
        )* };
    }
    say!("hyper::client" "hyper_util" "tonic::transport" "h2" "reqwest::connect" "tower::buffer");
    say!("opentelemetry_sdk" "opentelemetry-otlp" "opentelemetry-prometheus" "rustls" "mio::poll" "want");
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn a_span_joins_the_trace_of_its_caller() {
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let heard = heard(|| {
        let request = tracing::info_span!("request");
        remote_parent(&request, |header| match header {
            "traceparent" => Some(traceparent.as_str()),
            "tracestate" => Some("vendor=1"),
            _ => None,
        });
        let _entered = request.entered();
        tracing::info_span!("inner").in_scope(|| tracing::info!("hello"));
    });
    let request = heard.spans.iter().find(|it| it.name == "request").unwrap();
    assert_eq!(request.span_context.trace_id().to_string(), TRACE);
    assert_eq!(request.parent_span_id.to_string(), "00f067aa0ba902b7");
    // Free text from anyone does not leave with the span.
    assert_eq!(request.span_context.trace_state().get("vendor"), None);
    let inner = heard.spans.iter().find(|it| it.name == "inner").unwrap();
    assert_eq!(inner.span_context.trace_id().to_string(), TRACE);
    // The record carries the trace, so that the two can be put side by side.
    assert!(heard.records[0].contains(TRACE));
}

#[test]
fn a_span_without_a_valid_caller_keeps_its_parent() {
    let heard = heard(|| {
        let _outer = tracing::info_span!("outer").entered();
        for header in [None, Some(""), Some("00-zz-zz-01"), Some("\u{1f5dd}")] {
            let span = tracing::info_span!("request");
            remote_parent(&span, |name| header.filter(|_| name == "traceparent"));
            drop(span.entered());
        }
    });
    let outer = heard.spans.iter().find(|it| it.name == "outer").unwrap();
    let requests: Vec<_> = heard
        .spans
        .iter()
        .filter(|it| it.name == "request")
        .collect();
    assert_eq!(requests.len(), 4);
    for request in requests {
        assert_eq!(request.parent_span_id, outer.span_context.span_id());
    }
}

#[test]
fn spans_leave_from_debug_on_and_what_is_said_in_them_from_info_on() {
    let heard = heard(|| {
        let request = tracing::debug_span!("request").entered();
        tracing::debug!("a detail");
        tracing::info!("an event");
        tracing::trace_span!("too fine").in_scope(|| {});
        drop(request);
    });
    let names: Vec<_> = heard.spans.iter().map(|it| it.name.as_ref()).collect();
    assert_eq!(names, ["request"]);
    let events: Vec<_> = heard.spans[0]
        .events
        .iter()
        .map(|it| it.name.as_ref())
        .collect();
    assert_eq!(events, ["an event"]);
}

#[test]
fn without_an_exporter_nobody_asks_for_the_spans_of_requests() {
    let (logs, telemetry) = (logs(LogFormat::Json), Telemetry::disabled());
    let output = Output {
        writer: io::sink,
        terminal: false,
    };
    let silent = subscriber(&logs, &telemetry, output, Arc::new(ManualClock::default()));
    let hint = silent.unwrap().max_level_hint();
    assert_eq!(hint, Some(tracing::level_filters::LevelFilter::INFO));
}

#[test]
fn who_sends_junk_does_not_write_the_log() {
    let heard = heard(|| {
        tracing::error!(target: "actix_http", "a request that is none");
        tracing::info!(target: "actix_session", "a session that is gone");
        tracing::warn!(target: "actix_session", "a cookie that is junk");
        tracing::error!(target: "actix_session", "a store that fails");
    });
    assert_eq!((heard.lines.len(), heard.records.len()), (1, 1));
    assert!(heard.lines[0].contains("a store that fails"));
}
