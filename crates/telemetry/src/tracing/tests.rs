//! Lines, records and spans, captured before they are exported.

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
use crate::{RequestTraces, SampledShare, TraceSampler, sampling::Decided, signals::Signals};
use skriptoteket_core::clock::ManualClock;

/// Collects what it receives. Cheap to clone; all clones share one list.
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

/// Everything that was written and exported while something ran with logs set up.
pub(crate) struct Heard {
    pub(crate) lines: Vec<String>,
    pub(crate) records: Vec<String>,
    pub(crate) spans: Vec<SpanData>,
}

fn hear(log: &LogSettings, terminal: bool, clock: &Arc<ManualClock>, say: impl FnOnce()) -> Heard {
    let all = TraceSampler {
        parent_based: true,
        others: SampledShare::ALL,
    };
    hear_sampled(log, terminal, clock, all, |_| say())
}

/// Captures the output of code that receives a sampler of requests.
pub(crate) fn hear_sampled(
    log: &LogSettings,
    terminal: bool,
    clock: &Arc<ManualClock>,
    sampler: TraceSampler,
    say: impl FnOnce(&RequestTraces),
) -> Heard {
    let (lines, records, spans) = <(Kept<u8>, Kept<String>, Kept<SpanData>)>::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Decided::new(sampler))
        .with_simple_exporter(spans.clone());
    let logger = SdkLoggerProvider::builder().with_simple_exporter(records.clone());
    let telemetry = Telemetry {
        signals: Signals {
            spans: Some(provider.build()),
            logs: Some(logger.build()),
            sampler,
        },
        ..Telemetry::disabled()
    };
    let copy = lines.clone();
    let output = Output {
        writer: move || copy.clone(),
        terminal,
    };
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let traces = telemetry.request_traces(Arc::clone(&clock));
    let subscriber = subscriber(log, &telemetry, output, clock).unwrap();
    with_default(subscriber, || say(&traces));
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

pub(crate) fn logs(format: LogFormat) -> LogSettings {
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

/// Collects the messages about ten failed exports of each signal in each of two minutes.
#[test]
fn failing_exports_say_so_once_a_minute_for_each_endpoint() {
    let clock = Arc::new(ManualClock::default());
    let heard = hear(&logs(LogFormat::Json), false, &clock, || {
        for _minute in 0..2 {
            for _ in 0..10 {
                for signal in ["metrics", "traces", "logs"] {
                    let endpoint = "https://collector:4317";
                    tracing::warn!(target: export::TARGET, signal, endpoint, error = "refused", "lost");
                }
                let endpoint = "https://other:4317";
                tracing::warn!(target: export::TARGET, signal = "logs", endpoint, error = "silent", "lost");
                // What the SDK logs in addition.
                tracing::warn!(name: "Export.Failed.NonRetryable", target: "opentelemetry-otlp", "again");
                tracing::error!(name: "PeriodicReader.ExportError", target: "opentelemetry_sdk", "again");
                tracing::error!(name: "BatchSpanProcessor.ExportError", target: "opentelemetry_sdk", "again");
                tracing::error!(name: "BatchLogProcessor.ExportError", target: "opentelemetry_sdk", "again");
                clock.advance(Duration::from_secs(6));
            }
        }
        tracing::error!(target: "rustls_platform_verifier::verification", "not trusted");
        tracing::error!(name: "BatchSpanProcessor.Shutdown.Timeout", target: "opentelemetry_sdk", "late");
        tracing::warn!(name: "BatchLogProcessor.Emit.AfterShutdown", target: "opentelemetry_sdk", "over");
    });
    let count = |text| heard.lines.iter().filter(|it| it.contains(text)).count();
    assert_eq!(
        (count("refused"), count("silent"), heard.lines.len()),
        (2, 2, 4),
        "{:?}",
        heard.lines
    );
    // Exporting them would cause another failed export.
    assert_eq!(heard.records.len(), 0);
}

/// Any crate can be below an exporter. With a deny-list the next one that logs would cause a loop, as the certificate
/// verifier did.
#[test]
fn what_other_crates_say_is_a_line_a_minute_for_each_place() {
    let clock = Arc::new(ManualClock::default());
    let heard = hear(&logs(LogFormat::Json), false, &clock, || {
        for _minute in 0..2 {
            for _ in 0..10 {
                tracing::error!(target: "a_tls_library::verification", "not trusted");
                tracing::warn!(target: "a_crate_of_tomorrow", "not resolved");
                tracing::info!(target: "skriptoteketlike", "not ours");
                tracing::info!("ours");
                clock.advance(Duration::from_secs(6));
            }
        }
    });
    let count = |text| heard.lines.iter().filter(|it| it.contains(text)).count();
    let counts = ["not trusted", "not resolved", "not ours", "ours\""].map(count);
    assert_eq!(counts, [2, 2, 2, 22], "{:?}", heard.lines);
    assert_eq!(heard.records.len(), 20);
}

/// Records of the `log` crate, as the bridge converts them.
#[test]
fn records_of_the_log_crate_are_a_line_a_minute_and_tell_no_source_path() {
    let record = |line| {
        log::Record::builder()
            .args(format_args!("failed to verify: \"untrusted\""))
            .level(log::Level::Error)
            .target("a_tls_library::verification::others")
            .module_path(Some("a_tls_library::verification::others"))
            .file(Some("/builder/registry/others.rs"))
            .line(Some(line))
            .build()
    };
    for format in [LogFormat::Json, LogFormat::Human] {
        let heard = hear(&logs(format), false, &Arc::default(), || {
            for _ in 0..10 {
                tracing_log::format_trace(&record(7)).unwrap();
                tracing_log::format_trace(&record(8)).unwrap();
            }
        });
        assert_eq!((heard.lines.len(), heard.records.len()), (2, 0));
        for line in &heard.lines {
            assert!(
                line.contains("failed to verify") && !line.contains("builder"),
                "{line}"
            );
        }
        if format == LogFormat::Json {
            let line: serde_json::Value = serde_json::from_str(&heard.lines[0]).unwrap();
            assert_eq!(line["message"], "failed to verify: \"untrusted\"");
            assert_eq!(line["target"], "a_tls_library::verification::others");
            assert_eq!(line["level"], "ERROR");
        }
    }
}

#[test]
fn other_complaints_and_our_own_lines_are_not_lost_among_failing_exports() {
    let heard = heard(|| {
        for _ in 0..3 {
            tracing::warn!(target: export::TARGET, endpoint = "https://collector", "refused");
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
        let _ours = tracing::info_span!("ours", otel.kind = "server").entered();
        tracing::info!("ours");
    });
    assert_eq!(heard.records.len(), 1);
    assert!(heard.records[0].contains("ours"));
    let names: Vec<_> = heard.spans.iter().map(|it| it.name.as_ref()).collect();
    assert_eq!(names, ["ours"]);
}

/// The macros require constant targets.
fn for_each_plumber() {
    macro_rules! say {
        ($($target:literal)*) => { $(
            let _span = tracing::info_span!(target: $target, "theirs").entered();
            tracing::info!(target: $target, "theirs");
        )* };
    }
    say!("hyper::client" "hyper_util" "tonic::transport" "h2" "reqwest::connect" "tower::buffer");
    say!("opentelemetry_sdk" "opentelemetry-otlp" "opentelemetry-prometheus" "rustls" "mio::poll" "want");
    say!("rustls_platform_verifier" "hickory_resolver" "hyper_rustls" "skriptoteketlike" "log");
}

#[test]
fn spans_leave_from_debug_on_and_what_is_said_in_them_from_info_on() {
    let heard = heard(|| {
        tracing::debug_span!("a part of nothing").in_scope(|| {});
        let request = tracing::debug_span!("request", otel.kind = "server").entered();
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
    assert_eq!((heard.lines.len(), heard.records.len()), (1, 0));
    assert!(heard.lines[0].contains("a store that fails"));
}
