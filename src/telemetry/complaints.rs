//! What the SDK says about itself, kept short.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::layer::{Context, Filter};

use crate::clock::Clock;

/// How long a complaint is not repeated.
const QUIET: Duration = Duration::from_mins(1);

/// Lets every kind of complaint of the SDK through at most once a minute.
///
/// With the Collector away every export of every reader fails, and the SDK logs two lines for each. All failing exports
/// are one kind, and of the two lines the one that tells the cause is left. What is recorded after the shutdown is no
/// complaint at all: log lines are written to the end. Nor is a shutdown that takes longer: whoever waited for it says
/// so.
pub(super) struct Complaints {
    clock: Arc<dyn Clock>,
    last: Mutex<BTreeMap<&'static str, Duration>>,
}

impl Complaints {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: Mutex::default(),
        }
    }

    fn passes(&self, metadata: &Metadata<'static>) -> bool {
        let ours = !metadata.target().starts_with("opentelemetry");
        if ours || *metadata.level() > Level::WARN {
            return true;
        }
        let name = metadata.name();
        let said_elsewhere = name.starts_with("Export.Failed.")
            || name.ends_with(".AfterShutdown")
            || name.ends_with(".Shutdown.Timeout");
        if said_elsewhere {
            return false;
        }
        self.is_due(if name.ends_with(".ExportError") {
            "ExportError"
        } else {
            name
        })
    }

    fn is_due(&self, kind: &'static str) -> bool {
        let now = self.clock.monotonic();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last
            .get(kind)
            .is_none_or(|then| now.saturating_sub(*then) >= QUIET);
        if due {
            last.insert(kind, now);
        }
        due
    }
}

impl fmt::Debug for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Complaints")
    }
}

impl<S: Subscriber> Filter<S> for Complaints {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.passes(event.metadata())
    }

    /// Without this hint the filter beside it would count for nothing, and every disabled span be asked for at runtime.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}
