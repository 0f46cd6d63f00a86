//! The layer around every request: metrics, tracing, panic handling and security headers.

use std::{
    future::{Future, Ready, ready},
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::ConnectionType;
use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    cookie::{Cookie, time::Duration as CookieDuration},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    error::InternalError,
    guard::{Guard, GuardContext},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use futures_util::{FutureExt, future::LocalBoxFuture};
use tracing::{Instrument, Span, field::Empty};

use super::{
    connection::{Answering, Connection, Refusal},
    cookie::CookieSettings,
    error::{ApiError, Panicked},
    presented,
    problem::{Kind, Problem},
    request_context::{CookieFate, Purpose, RequestContext},
    trust_boundary::{TrustBoundary, over_https},
};
use crate::{
    metrics::{HttpMetrics, HttpRecorder, RequestLabels},
    traces::{RequestFacts, RequestTrace, RequestTraces, rename},
};
use skriptoteket_core::wait_budget::WaitBudget;

/// Headers of every response. Responses are data, never pages: browsers must not run, frame or sniff them, and must not
/// cache them unless the handler allows it.
static SAFETY: [(HeaderName, HeaderValue); 5] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Over https: browsers use only https for a year (OWASP ASVS 5.0, 3.4.1). Other hosts of the domain are not included,
/// because they do not belong to this service.
const TRANSPORT: (HeaderName, HeaderValue) = (
    header::STRICT_TRANSPORT_SECURITY,
    HeaderValue::from_static("max-age=31536000"),
);

/// At a logout over https: the browser clears the data of the origin, but not cookies, because that directive would
/// clear the cookies of all applications of the domain.
const FORGET: (HeaderName, HeaderValue) = (
    HeaderName::from_static("clear-site-data"),
    HeaderValue::from_static("\"cache\", \"storage\""),
);

/// Adds the security headers to a response. `Cache-Control` is kept if it is already set.
pub(super) fn make_safe(headers: &mut HeaderMap) {
    for (name, value) in &SAFETY {
        // A handler may set its own caching policy.
        if name != header::CACHE_CONTROL || !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// The outermost layer of an application: metrics, span, panics, problems, cookies, headers.
///
/// * Every request that gets a response is counted once, by method, matched pattern (see [`matched`]), status and
///   scheme. If the client disconnects, the request is in flight until then and records no duration.
/// * A sampled request has a span; a request that is not sampled gets one at its end if it fails or is slow. A
///   `traceparent` header is trusted if it comes from a trusted proxy, because it can cause every request to be traced.
/// * A panic becomes a 500 without details; a store that does not respond to the session middleware becomes a 503.
/// * Error responses created by the framework (empty or plain text) become `application/problem+json`.
///
/// Cheap to clone; the metrics are created once and shared by all workers.
#[derive(Clone, Debug)]
pub struct RequestLayer {
    metrics: HttpMetrics,
    traces: RequestTraces,
    trust_boundary: Arc<TrustBoundary>,
    wait_budget: Duration,
    cookie: Option<CookieSettings>,
}

impl RequestLayer {
    /// Creates a layer that records into `metrics`, trusts what `trust_boundary` allows, and limits the time that a
    /// request waits for stores to `wait_budget` in total. It traces nothing.
    #[must_use]
    pub fn new(metrics: HttpMetrics, trust_boundary: TrustBoundary, wait_budget: Duration) -> Self {
        Self {
            metrics,
            traces: RequestTraces::off(),
            trust_boundary: Arc::new(trust_boundary),
            wait_budget,
            cookie: None,
        }
    }

    /// Traces the requests that `traces` selects.
    #[must_use]
    pub fn traced(self, traces: RequestTraces) -> Self {
        Self { traces, ..self }
    }

    /// Reads the session cookie with these settings. Without them actix reads the cookies, and ignores all of them if
    /// one is unreadable.
    #[must_use]
    pub fn with_session_cookie(mut self, cookie: CookieSettings) -> Self {
        self.cookie = Some(cookie);
        self
    }
}

/// Returns a guard that accepts every request and records the pattern of its resource, for metrics and spans.
///
/// The router evaluates the guard when the path has matched. This is the only point at which the pattern is known
/// without another look-up, and before anything below can fail.
#[must_use]
pub fn matched(pattern: &'static str) -> impl Guard {
    matched_for(pattern, Purpose::Other)
}

/// Like [`matched`], for a resource with this purpose.
pub(crate) fn matched_for(pattern: &'static str, purpose: Purpose) -> impl Guard {
    move |_: &GuardContext<'_>| {
        RequestContext::current(|context| {
            context.route.set(Some(pattern));
            context.purpose.set(purpose);
        });
        true
    }
}

impl<S, B> Transform<S, ServiceRequest> for RequestLayer
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type InitError = ();
    type Transform = Layered<S>;
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Layered {
            service: Rc::new(service),
            trust_boundary: Arc::clone(&self.trust_boundary),
            recorder: self.metrics.recorder(),
            traces: Rc::new(self.traces.clone()),
            wait_budget: self.wait_budget,
            cookie: self.cookie.clone(),
        }))
    }
}

/// A service inside a [`RequestLayer`].
#[derive(Debug)]
pub struct Layered<S> {
    service: Rc<S>,
    trust_boundary: Arc<TrustBoundary>,
    recorder: HttpRecorder,
    traces: Rc<RequestTraces>,
    wait_budget: Duration,
    cookie: Option<CookieSettings>,
}

impl<S, B> Service<ServiceRequest> for Layered<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(service);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let service = Rc::clone(&self.service);
        let (answering, refusal) = begin(&request);
        let context = RequestContext::new(Arc::clone(&self.trust_boundary));
        if let Some(cookie) = &self.cookie {
            let presented = presented::sort_out(request.headers_mut(), cookie);
            context.presented.replace(presented);
        }
        let recorder = self.recorder.clone();
        let traces = Rc::clone(&self.traces);
        let wait_budget = WaitBudget::new(self.wait_budget);
        Box::pin(context.during(async move {
            let labels = match refusal {
                None => labels(&request),
                // The method of a rejected request cannot be trusted.
                Some(_) => RequestLabels::new("", false),
            };
            let timer = recorder.request_started(labels);
            let trace = traces.begin(|| parent(&request));
            let span = span(&trace, labels);
            let mut answer = if let Some(refusal) = refusal {
                Answer::Whole(request.into_response(refused(refusal).response()))
            } else {
                let answer = answer(async { service.call(request).await });
                wait_budget.during(answer.instrument(span.clone())).await
            };
            let status = finish(&mut answer);
            answer.close_where_it_ends(answering.as_ref());
            // A method that a path does not support is not served by any route. Counted under the route, arbitrary
            // methods would create ten series for every path.
            let served = status != StatusCode::METHOD_NOT_ALLOWED;
            let route = RequestContext::current(|context| context.route.get()).flatten();
            let route = route.filter(|_| served);
            let facts = RequestFacts {
                method: labels.method(),
                route,
                status: status.as_u16(),
                took: timer.finish(route, status.as_u16()),
            };
            describe(&span, facts);
            traces.end(&trace, &span, facts);
            match answer {
                Answer::Whole(response) => Ok(response),
                // A service response needs the request. Without it, the server sends this response as it is.
                Answer::Bare(response) => {
                    Err(InternalError::from_response("an error answer", response).into())
                }
            }
        }))
    }
}

/// A response, with or without its request.
enum Answer {
    Whole(ServiceResponse<BoxBody>),
    Bare(HttpResponse<BoxBody>),
}

impl Answer {
    fn close_where_it_ends(&mut self, answering: Option<&Answering>) {
        match self {
            Self::Whole(response) => close_where_it_ends(response.response_mut(), answering),
            Self::Bare(response) => close_where_it_ends(response, answering),
        }
    }
}

/// Starts a request on a connection of our own server. Returns the reason if the request stands for a rejected one.
pub(super) fn begin(request: &ServiceRequest) -> (Option<Answering>, Option<Refusal>) {
    match request.conn_data::<Rc<Connection>>() {
        Some(connection) => {
            let (answering, refusal) = connection.begin();
            (Some(answering), refusal)
        }
        None => (None, None),
    }
}

/// Returns the problem document for a request that was rejected by the connection.
pub(super) fn refused(refusal: Refusal) -> Problem {
    let blank = |status| Problem::from(Kind::blank(status));
    match refusal {
        Refusal::Malformed(why) => blank(StatusCode::BAD_REQUEST).with_detail(why),
        Refusal::TargetTooLong => blank(StatusCode::URI_TOO_LONG),
        Refusal::HeadTooLarge => blank(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Refusal::HeadTooSlow => blank(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Sets `Connection: close` if the connection ends with this response: the client was too slow (RFC 9110, section
/// 15.5.9), or has not sent all of a body that is not awaited.
pub(super) fn close_where_it_ends<B>(
    response: &mut HttpResponse<B>,
    answering: Option<&Answering>,
) {
    let too_slow = response.status() == StatusCode::REQUEST_TIMEOUT;
    if too_slow || answering.is_some_and(Answering::lacks_body) {
        response
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
}

fn labels(request: &ServiceRequest) -> RequestLabels {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let headers = request.headers();
    let https = RequestContext::current(|it| over_https(&it.trust_boundary, peer, headers));
    RequestLabels::new(request.method().as_str(), https.unwrap_or(false))
}

/// Returns the `traceparent` header if a trusted proxy sent it.
fn parent(request: &ServiceRequest) -> Option<&str> {
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
fn span(trace: &RequestTrace, labels: RequestLabels) -> Span {
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
fn describe(span: &Span, facts: RequestFacts) {
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

/// Runs the application and turns every outcome into a response.
fn answer<B: MessageBody + 'static>(
    work: impl Future<Output = Result<ServiceResponse<B>, Error>>,
) -> impl Future<Output = Answer> {
    let outcome = AssertUnwindSafe(work).catch_unwind();
    outcome.map(|outcome| match outcome {
        Ok(Ok(response)) => Answer::Whole(as_problem(response.map_into_boxed_body())),
        Ok(Err(error)) => Answer::Bare(failed(&error)),
        Err(_) => Answer::Bare(ApiError::Internal(Panicked.into()).response()),
    })
}

/// Returns the response to an error of a middleware. (Errors of handlers are responses by now.)
fn failed(error: &Error) -> HttpResponse {
    let fault = RequestContext::current(|context| context.fault.take()).flatten();
    if let Some(fault) = fault {
        return ApiError::Store(fault).response();
    }
    let status = error.as_response_error().status_code();
    if status.is_server_error() {
        tracing::error!(error = %error, "a middleware failed");
    }
    Problem::from(Kind::blank(status)).response()
}

/// Turns an error response of the framework into a problem document. Responses with another media type are intentional
/// and stay unchanged.
fn as_problem(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let media = response.headers().get(header::CONTENT_TYPE);
    if media.is_some_and(|media| !media.as_bytes().starts_with(b"text/plain")) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let problem = Problem::from(Kind::blank(status)).with_allow(allow);
    response.into_response(problem.response())
}

/// Completes the headers of a response, and returns its status.
fn finish(answer: &mut Answer) -> StatusCode {
    let (status, headers) = match answer {
        Answer::Whole(response) => (response.status(), response.headers_mut()),
        Answer::Bare(response) => (response.status(), response.headers_mut()),
    };
    make_safe(headers);
    let seen_by_https = RequestContext::current(|it| it.trust_boundary.is_https()).unwrap_or(false);
    if seen_by_https {
        let (name, value) = TRANSPORT;
        headers.insert(name, value);
        let logged_out = RequestContext::current(|it| it.logged_out.get()).unwrap_or(false);
        if logged_out && status.is_success() {
            let (name, value) = FORGET;
            headers.insert(name, value);
        }
    }
    if let Some(fate) = RequestContext::current(|context| context.cookie.get()).flatten() {
        rewrite_cookie(headers, fate);
    }
    if let Some(cookie) = RequestContext::take_renewed() {
        headers.append(header::SET_COOKIE, cookie);
        // Overrides the handler's policy: a shared cache would hand the key to other clients.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    status
}

/// Sets the age of the session cookie, or removes the cookie.
///
/// actix-session has one age for all cookies and sets a cookie whenever it saves state. It cannot distinguish a
/// remembered session from another one, and would turn the former into the latter at the first change of its state.
fn rewrite_cookie(headers: &mut HeaderMap, fate: CookieFate) {
    let cookies: Vec<HeaderValue> = headers.remove(header::SET_COOKIE).collect();
    for value in cookies {
        let parsed = value.to_str().ok().and_then(|it| Cookie::parse(it).ok());
        let Some(mut cookie) = parsed.filter(|cookie| cookie.name() == fate.name) else {
            headers.append(header::SET_COOKIE, value);
            continue;
        };
        let Some(max_age) = fate.max_age else {
            continue;
        };
        let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
        cookie.set_max_age(CookieDuration::seconds(seconds));
        if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
            headers.append(header::SET_COOKIE, value);
        }
    }
}
