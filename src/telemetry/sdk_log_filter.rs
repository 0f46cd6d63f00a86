//! What other crates say, and what is said about failing exports, kept short.

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
use crate::clock::Clock;

/// How long a complaint is not repeated.
const QUIET: Duration = Duration::from_mins(1);

/// So many kinds are told apart. They are places in source code, so there are not many; beyond that all are one kind.
const MOST_KINDS: usize = 1_000;

/// Lets each kind of complaint through at most once a minute: every event of another crate from `info` on, and what this
/// crate says about failing exports.
///
/// * The kind of an event is its place in the source. Events of a library say the same thing for as long as its cause
///   lasts, and how often is not known here: a TLS library complains at each handshake, the SDK at each export.
/// * All exports that fail to one endpoint are one kind.
/// * What the SDK says about a failed export is dropped: [`export::Reported`] says it with the cause. So is what the verifier
///   of certificates says: it is the cause.
/// * What is recorded after the shutdown is no complaint: log lines are written to the end. Nor is a shutdown that takes
///   longer: the caller that waited for it reports it.
///
/// Events of level `debug` and below pass: they are written for those who ask for them.
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

/// The endpoint that an event names.
struct Endpoint(String);

impl Visit for Endpoint {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "endpoint" {
            // A text takes whatever is written to it.
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

    /// Without this hint the filter beside it would count for nothing, and every disabled span be asked for at runtime.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

/// True for targets of this crate.
pub(super) fn is_own(target: &str) -> bool {
    let rest = target.strip_prefix(env!("CARGO_CRATE_NAME"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
