//! The layer around every request: metrics, tracing, panic handling and security headers.
//!
//! | file | what is in it |
//! |---|---|
//! | `middleware` | the layer, and the order of its steps |
//! | `answer` | every outcome becomes a response: panics, errors of the framework |
//! | `span` | the span of a request |

mod answer;
mod span;

use std::{
    future::{Ready, ready},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::ConnectionType;
use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    error::InternalError,
    guard::{Guard, GuardContext},
    http::StatusCode,
};
use futures_util::future::LocalBoxFuture;
use tracing::Instrument;

use answer::{Answer, answer};
use span::{describe, labels, parent, span};

use super::{
    connection::{Answering, Connection, Refusal},
    cookie::CookieSettings,
    error_pages::{ErrorPages, PageRequest},
    presented,
    problem::{Kind, Problem},
    request_context::{LoginPaths, Purpose, RequestContext},
    trust_boundary::TrustBoundary,
};
use crate::{
    metrics::{HttpMetrics, HttpRecorder, RequestLabels},
    traces::{RequestFacts, RequestTraces},
};
use skriptoteket_core::wait_budget::WaitBudget;

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
    /// See [`RequestLayer::around_pages`].
    pages: bool,
    /// The paths of login and logout, if the session middleware runs before the router.
    login_paths: LoginPaths,
    error_pages: Option<Arc<dyn ErrorPages>>,
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
            pages: false,
            login_paths: LoginPaths::default(),
            error_pages: None,
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

    /// Leaves the responses of the application as they are: error responses without a problem document, and all responses
    /// without the security headers, which are meant for data. Responses of the routes of this crate, of paths without a
    /// route and of panics, and problem documents, are as without this call.
    ///
    /// If the session store does not respond, only handlers that take a [`Principal`](crate::Principal) reject requests.
    #[must_use]
    pub fn around_pages(self) -> Self {
        Self {
            pages: true,
            ..self
        }
    }

    /// Shows these pages instead of problem documents to browsers, for routes of pages ([`Row::of_page`](crate::routes::Row::of_page))
    /// and for paths without a route. A browser is a client that accepts `text/html` by name.
    #[must_use]
    pub fn with_error_pages(mut self, error_pages: Arc<dyn ErrorPages>) -> Self {
        self.error_pages = Some(error_pages);
        self
    }

    /// Recognises logins and logouts by these paths, for a session middleware that runs before the router.
    #[must_use]
    #[cfg(feature = "builder")]
    pub(crate) fn with_login_paths(self, login_paths: LoginPaths) -> Self {
        Self {
            login_paths,
            ..self
        }
    }
}

/// Returns a guard that accepts every request and records the pattern of its resource, for metrics and spans.
///
/// The router evaluates the guard when the path has matched. This is the only point at which the pattern is known
/// without another look-up, and before anything below can fail.
#[must_use]
pub fn matched(pattern: &'static str) -> impl Guard {
    move |_: &GuardContext<'_>| {
        RequestContext::current(|context| context.route.set(Some(pattern)));
        true
    }
}

/// Like [`matched`], for a resource of this crate with this purpose; `page` if it is a page for browsers.
pub(crate) fn matched_for(pattern: &'static str, purpose: Purpose, page: bool) -> impl Guard {
    move |_: &GuardContext<'_>| {
        RequestContext::current(|context| {
            context.route.set(Some(pattern));
            context.purpose.set(purpose);
            context.own.set(true);
            context.page.set(page);
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
            pages: self.pages,
            login_paths: self.login_paths.clone(),
            error_pages: self.error_pages.clone(),
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
    pages: bool,
    login_paths: LoginPaths,
    error_pages: Option<Arc<dyn ErrorPages>>,
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
        context
            .purpose
            .set(self.login_paths.purpose(request.path()));
        let pages = self.pages;
        context.pages.set(pages);
        let error_pages = self.error_pages.clone();
        let error_pages = error_pages.and_then(|it| Some((it, PageRequest::of(&request)?)));
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
                let answer = answer(async { service.call(request).await }, pages);
                wait_budget.during(answer.instrument(span.clone())).await
            };
            if let Some((pages, request)) = &error_pages {
                answer = answer.for_browser(&**pages, request);
            }
            let status = answer.finish(pages);
            answer.close_where_it_ends(answering.as_ref());
            // A method that a path does not support is not served by any route. Counted under the route, arbitrary
            // methods would create ten series for every path.
            let served = status != StatusCode::METHOD_NOT_ALLOWED;
            let route = RequestContext::current(|context| context.route.get()).flatten();
            let route = route.or_else(|| answer.pattern()).filter(|_| served);
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
