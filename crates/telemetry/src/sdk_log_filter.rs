//! Limits the log messages of other crates, and those about failed exports.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_log::NormalizeEvent;
use tracing_subscriber::layer::{Context, Filter};

use super::export;
use skriptoteket_core::clock::Clock;

/// Minimum time between two messages of the same kind.
const QUIET: Duration = Duration::from_mins(1);

/// Maximum number of kinds that are tracked separately. Kinds are places in source code, so there are few; further
/// ones count as one.
const MOST_KINDS: usize = 1_000;

/// Passes each kind of message at most once a minute. It applies to every event of another crate at level `info` and
/// above, and to this crate's messages about failed exports.
///
/// * The kind of an event is its place in the source. A library repeats an event for as long as its cause lasts, and
///   how often cannot be known here: a TLS library logs at each handshake, the SDK at each export.
/// * All failed exports to one endpoint are one kind.
/// * The SDK's own messages about failed exports are dropped: [`export::Reported`] logs them with the cause. So are
///   the messages of the certificate verifier: they are that cause.
/// * Messages about records made after the shutdown are dropped: log lines are written to the end. So are those about
///   a shutdown that takes too long: the caller that waits for it reports it.
///
/// Events of level `debug` and below pass: they appear only if the operator enables them.
pub(super) struct SdkLogFilter {
    clock: Arc<dyn Clock>,
    last: Mutex<BTreeMap<String, Duration>>,
}

impl SdkLogFilter {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: Mutex::default(),
        }
    }

    fn passes(&self, event: &Event<'_>) -> bool {
        let normal = event.normalized_metadata();
        let metadata = normal.as_ref().unwrap_or_else(|| event.metadata());
        if *metadata.level() > Level::INFO {
            return true;
        }
        let (target, name) = (metadata.target(), metadata.name());
        if target == export::TARGET {
            let mut endpoint = Endpoint(String::new());
            event.record(&mut endpoint);
            return self.is_due(endpoint.0);
        }
        if is_own(target) {
            return true;
        }
        if is_said_elsewhere(target, name) {
            return false;
        }
        self.is_due(format!("{target} {name} {:?}", metadata.line()))
    }

    fn is_due(&self, kind: String) -> bool {
        let now = self.clock.monotonic();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = if last.len() < MOST_KINDS || last.contains_key(&kind) {
            kind
        } else {
            String::new()
        };
        let due = last
            .get(&kind)
            .is_none_or(|then| now.saturating_sub(*then) >= QUIET);
        if due {
            last.insert(kind, now);
        }
        due
    }
}

fn is_said_elsewhere(target: &str, name: &str) -> bool {
    let of_the_sdk = name.starts_with("Export.Failed.")
        || name.ends_with(".ExportError")
        || name.ends_with(".AfterShutdown")
        || name.ends_with(".Shutdown.Timeout");
    (target.starts_with("opentelemetry") && of_the_sdk)
        || target.starts_with("rustls_platform_verifier")
}

/// The endpoint in an event.
struct Endpoint(String);

impl Visit for Endpoint {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "endpoint" {
            // Writing to a string does not fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

impl fmt::Debug for SdkLogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SdkLogFilter")
    }
}

impl<S: Subscriber> Filter<S> for SdkLogFilter {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.passes(event)
    }

    /// Without this hint the hint of the other filter would have no effect, and every disabled span would be checked
    /// at runtime.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

/// Returns true for targets of the crates of Skriptoteket: `skriptoteket` and `skriptoteket_…`.
pub(super) fn is_own(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or_default();
    let rest = krate.strip_prefix("skriptoteket");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}
