//! Stands for the traces of `skriptoteket-telemetry` without the feature `traces`: no request is traced.

#![expect(
    clippy::must_use_candidate,
    clippy::unused_self,
    reason = "the signatures are those of `skriptoteket-telemetry`"
)]

use std::time::Duration;

use tracing::Span;

/// Traces nothing.
#[derive(Clone, Debug, Default)]
pub struct RequestTraces;

/// A request that is not traced.
#[derive(Debug)]
pub struct RequestTrace;

/// What is known about a request at its end.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts {
    /// The method.
    pub method: &'static str,
    /// The pattern that the router matched.
    pub route: Option<&'static str>,
    /// The status of the response.
    pub status: u16,
    /// The duration.
    pub took: Duration,
}

impl RequestFacts {
    /// Returns the name of the span.
    pub const fn span_name(&self) -> &'static str {
        self.method
    }
}

impl RequestTraces {
    /// Traces nothing.
    pub const fn off() -> Self {
        Self
    }

    /// Starts no trace.
    pub fn begin<'a>(&self, _: impl FnOnce() -> Option<&'a str>) -> RequestTrace {
        RequestTrace
    }

    /// Ends no trace.
    pub const fn end(&self, _: &RequestTrace, _: &Span, _: RequestFacts) {}
}

impl RequestTrace {
    /// Returns false.
    pub const fn is_sampled(&self) -> bool {
        false
    }

    /// Joins no trace.
    pub const fn join(&self, _: &Span) {}
}

/// Keeps the name of the span.
pub(crate) const fn rename(_: &Span, _: &str) {}
