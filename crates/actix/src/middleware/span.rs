//! The span of a request, and what is known of a request before it is handled.

use actix_web::dev::ServiceRequest;
use tracing::{Span, field::Empty};

use crate::{
    metrics::RequestLabels,
    request_context::RequestContext,
    traces::{RequestFacts, RequestTrace, rename},
    trust_boundary::over_https,
};

/// Returns the labels of a request for the metrics.
pub(super) fn labels(request: &ServiceRequest) -> RequestLabels {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let headers = request.headers();
    let https = RequestContext::current(|it| over_https(&it.trust_boundary, peer, headers));
    RequestLabels::new(request.method().as_str(), https.unwrap_or(false))
}

/// Returns the `traceparent` header if a trusted proxy sent it.
pub(super) fn parent(request: &ServiceRequest) -> Option<&str> {
    let header = request.headers().get("traceparent")?;
    let peer = request.peer_addr().map(|peer| peer.ip());
    let trusted = RequestContext::current(|it| it.trust_boundary.trusts(peer));
    header.to_str().ok().filter(|_| trusted == Some(true))
}

/// Creates a span with values from closed sets only: no path, no query, no address, and nothing from the client except
/// the trace that it continues.
///
/// The span of a request that is not sampled exists for log lines of level `debug`. If these are disabled, so is the
/// span, and it costs nothing.
pub(super) fn span(trace: &RequestTrace, labels: RequestLabels) -> Span {
    if !trace.is_sampled() {
        return tracing::debug_span!(
            "http request",
            traced = false,
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = labels.method(),
            http.route = Empty,
            http.response.status_code = Empty,
        );
    }
    let span = tracing::debug_span!(
        "http request",
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = labels.method(),
        http.route = Empty,
        http.response.status_code = Empty,
    );
    trace.join(&span);
    span
}

/// Adds to the span what is known at its end, with the names of the semantic conventions.
pub(super) fn describe(span: &Span, facts: RequestFacts) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", facts.status);
    if facts.status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
    if let Some(route) = facts.route {
        span.record("http.route", route);
    }
    rename(span, facts.span_name());
}
