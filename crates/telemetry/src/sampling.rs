//! Decides which requests are traced.
//!
//! The decision is made before a span is created: a span costs a fifth of a session check, whether or not it is
//! exported. A request that is not sampled gets no span, nor do the calls within it. If it turns out to be slow or
//! fails, one span for the whole request is created at its end, and a log message names its trace.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{
        Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt, TraceId, Tracer,
        TracerProvider,
    },
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{SampledShare, TraceSampler, metrics::SCOPE};
use skriptoteket_core::clock::Clock;

/// When a request counts as slow: longer than a login that waits for its turn at the password check.
const SLOW: Duration = Duration::from_secs(1);

/// Limit for traces of slow and failed requests that are not sampled: the burst, and the number per second. If a
/// store is down every request fails, and one trace shows as much as a thousand.
const ALLOWANCE: u32 = 10;

/// Minimum time between two log messages that name a trace of the same kind and route.
const QUIET: Duration = Duration::from_mins(1);

/// Decides which requests are traced. Cheap to clone; all clones share one allowance.
#[derive(Clone)]
pub struct RequestTraces(Option<Arc<Traces>>);

struct Traces {
    tracer: SdkTracer,
    sampler: TraceSampler,
    clock: Arc<dyn Clock>,
    allowance: Mutex<Allowance>,
    told: Mutex<BTreeMap<(Kind, Option<&'static str>), Duration>>,
}

/// The remaining allowance, and when it was computed.
struct Allowance {
    left: f64,
    at: Duration,
}

/// Why a request that was not sampled is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Failed,
    Slow,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Slow => "slow",
        }
    }
}

/// The decision about a request.
#[derive(Clone, Debug, Default)]
pub struct RequestTrace {
    parent: Option<SpanContext>,
    sampled: bool,
}

/// The facts about a request at its end, all of them from closed sets.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts {
    /// The method.
    pub method: &'static str,
    /// The matched pattern, `None` if no route matched.
    pub route: Option<&'static str>,
    /// The status.
    pub status: u16,
    /// The duration.
    pub took: Duration,
}

impl RequestFacts {
    /// Returns the name of the request's span.
    #[must_use]
    pub fn span_name(&self) -> String {
        self.route.map_or_else(
            || self.method.to_owned(),
            |route| format!("{} {route}", self.method),
        )
    }
}

impl fmt::Debug for RequestTraces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sampler = self.0.as_ref().map(|it| it.sampler);
        f.debug_tuple("RequestTraces").field(&sampler).finish()
    }
}

impl RequestTraces {
    /// Creates a sampler that traces nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    pub(super) fn new(
        spans: &SdkTracerProvider,
        sampler: TraceSampler,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let allowance = Allowance {
            left: f64::from(ALLOWANCE),
            at: clock.monotonic(),
        };
        Self(Some(Arc::new(Traces {
            tracer: spans.tracer(SCOPE),
            sampler,
            clock,
            allowance: Mutex::new(allowance),
            told: Mutex::default(),
        })))
    }

    /// Decides about a request that begins. `parent` returns the value of its W3C `traceparent` header, if it comes
    /// from a trusted source: a client that sends a sampled parent gets its request traced.
    ///
    /// Takes about ten nanoseconds without a parent.
    pub fn begin<'a>(&self, parent: impl FnOnce() -> Option<&'a str>) -> RequestTrace {
        let Some(traces) = &self.0 else {
            return RequestTrace::default();
        };
        let TraceSampler {
            parent_based,
            others,
        } = traces.sampler;
        let parent = parent().and_then(remote);
        let sampled = match &parent {
            Some(parent) if parent_based => parent.is_sampled(),
            Some(parent) => others.takes(randomness(parent.trace_id())),
            None => others.takes(rand::random()),
        };
        RequestTrace { parent, sampled }
    }

    /// Keeps a request that failed or was slow: creates a span if it has none, and writes a log message. `span` is
    /// the request's.
    pub fn end(&self, trace: &RequestTrace, span: &Span, facts: RequestFacts) {
        let Some(traces) = &self.0 else {
            return;
        };
        let kind = match facts {
            RequestFacts { status: 500.., .. } => Kind::Failed,
            RequestFacts { took, .. } if took >= SLOW => Kind::Slow,
            _ => return,
        };
        if trace.sampled {
            let context = span.context().span().span_context().clone();
            traces.tell(kind, facts, context.trace_id());
        } else if traces.sampler.others != SampledShare::Nothing && traces.may_keep() {
            let trace_id = traces.keep(kind, trace, facts);
            traces.tell(kind, facts, trace_id);
        }
    }
}

impl RequestTrace {
    /// Returns true if the request gets a span.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Makes `span` part of the caller's trace, if there is one. Call it before the span is entered for the first
    /// time.
    pub fn join(&self, span: &Span) {
        if let Some(parent) = &self.parent {
            // This fails if spans are not exported; then there is nothing to join.
            let _ = span.set_parent(Context::new().with_remote_span_context(parent.clone()));
        }
    }
}

impl Traces {
    fn may_keep(&self) -> bool {
        let now = self.clock.monotonic();
        let mut allowance = locked(&self.allowance);
        let since = now.saturating_sub(allowance.at).as_secs_f64();
        let most = f64::from(ALLOWANCE);
        *allowance = Allowance {
            left: since.mul_add(most, allowance.left).min(most),
            at: now,
        };
        let may = allowance.left >= 1.0;
        if may {
            allowance.left -= 1.0;
        }
        may
    }

    /// Creates the span of a request that is over.
    fn keep(&self, kind: Kind, trace: &RequestTrace, facts: RequestFacts) -> TraceId {
        let end = opentelemetry::time::now();
        let context = trace.parent.as_ref().map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent.clone())
        });
        let mut attributes = vec![
            KeyValue::new("http.request.method", facts.method),
            KeyValue::new("http.response.status_code", i64::from(facts.status)),
            KeyValue::new("skriptoteket.kept", kind.as_str()),
        ];
        attributes.extend(facts.route.map(|route| KeyValue::new("http.route", route)));
        let builder = self
            .tracer
            .span_builder(facts.span_name())
            .with_kind(SpanKind::Server)
            .with_start_time(end.checked_sub(facts.took).unwrap_or(end))
            .with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder, &context);
        if kind == Kind::Failed {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(end);
        span.span_context().trace_id()
    }

    /// Logs the trace, at most once a minute for each kind and route.
    fn tell(&self, kind: Kind, facts: RequestFacts, trace_id: TraceId) {
        let now = self.clock.monotonic();
        let mut told = locked(&self.told);
        let last = told.get(&(kind, facts.route));
        if last.is_some_and(|then| now.saturating_sub(*then) < QUIET) {
            return;
        }
        told.insert((kind, facts.route), now);
        drop(told);
        tracing::info!(
            kind = kind.as_str(),
            method = facts.method,
            route = facts.route,
            status = facts.status,
            duration_ms = facts.took.as_millis(),
            trace_id = %trace_id,
            "a request that failed or was slow has a trace"
        );
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the span named by a `traceparent` header. `tracestate` is not read: it is free text, and would be exported
/// with the span.
fn remote(header: &str) -> Option<SpanContext> {
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &TraceParent(header));
    let parent = context.span().span_context().clone();
    parent.is_valid().then_some(parent)
}

/// The only header of the W3C trace context that is read.
struct TraceParent<'a>(&'a str);

impl Extractor for TraceParent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// Returns the bits of a trace ID that the SDK's samplers use.
fn randomness(trace: TraceId) -> u64 {
    let id = u128::from_be_bytes(trace.to_bytes());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the lower half is used"
    )]
    let lower = id as u64;
    lower
}

/// The sampler below [`RequestTraces`]: spans of requests are decided about before they are created, and all others
/// belong to one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided(TraceSampler);

impl Decided {
    pub(super) const fn new(sampler: TraceSampler) -> Self {
        Self(sampler)
    }
}

impl ShouldSample for Decided {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        _: &str,
        kind: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let parent = parent_context.map(|it| it.span().span_context().clone());
        let sampled = match parent.filter(SpanContext::is_valid) {
            _ if *kind == SpanKind::Server => true,
            Some(parent) => parent.is_sampled(),
            None => self.0.others.takes(randomness(trace_id)),
        };
        SamplingResult {
            decision: if sampled {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state: opentelemetry::trace::TraceState::default(),
        }
    }
}

#[cfg(test)]
mod tests;
