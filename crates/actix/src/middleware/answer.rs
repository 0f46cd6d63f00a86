//! The response to a request: every outcome of the application becomes one.

use std::{future::Future, panic::AssertUnwindSafe};

use actix_web::{
    Error, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::ServiceResponse,
    http::{StatusCode, header},
};
use futures_util::FutureExt;

use super::close_where_it_ends;
use crate::{
    connection::Answering,
    error::{ApiError, Panicked},
    error_pages::{self, ErrorPages, PageRequest},
    patterns,
    problem::{Kind, Problem},
    request_context::RequestContext,
    response_headers,
};

/// A response, with or without its request.
pub(super) enum Answer {
    Whole(ServiceResponse<BoxBody>),
    Bare(HttpResponse<BoxBody>),
}

impl Answer {
    /// Completes the headers, and returns the status.
    pub(super) fn finish(&mut self, only_own_headers: bool) -> StatusCode {
        let (status, headers) = match self {
            Self::Whole(response) => (response.status(), response.headers_mut()),
            Self::Bare(response) => (response.status(), response.headers_mut()),
        };
        response_headers::finish(status, headers, only_own_headers);
        status
    }

    /// Replaces a problem document by the page for it, if the request is for a page.
    pub(super) fn for_browser(self, pages: &dyn ErrorPages, request: &PageRequest) -> Self {
        let (problem, headers) = match &self {
            Self::Whole(response) => {
                let response = response.response();
                let problem = response.extensions().get::<Problem>().cloned();
                (problem, response.headers())
            }
            Self::Bare(response) => {
                let problem = response.extensions().get::<Problem>().cloned();
                (problem, response.headers())
            }
        };
        let page = problem.and_then(|problem| error_pages::page(pages, request, &problem, headers));
        match (self, page) {
            (answer, None) => answer,
            (Self::Whole(response), Some(page)) => Self::Whole(response.into_response(page)),
            (Self::Bare(_), Some(page)) => Self::Bare(page),
        }
    }

    /// Returns the pattern that the router of the application matched.
    pub(super) fn pattern(&self) -> Option<&'static str> {
        match self {
            Self::Whole(response) => patterns::of(response.request()),
            Self::Bare(_) => None,
        }
    }

    pub(super) fn close_where_it_ends(&mut self, answering: Option<&Answering>) {
        match self {
            Self::Whole(response) => close_where_it_ends(response.response_mut(), answering),
            Self::Bare(response) => close_where_it_ends(response, answering),
        }
    }
}

/// Runs the application and turns every outcome into a response. With `pages`, the error responses of the application's own
/// routes stay as they are.
pub(super) fn answer<B: MessageBody + 'static>(
    work: impl Future<Output = Result<ServiceResponse<B>, Error>>,
    pages: bool,
) -> impl Future<Output = Answer> {
    let outcome = AssertUnwindSafe(work).catch_unwind();
    outcome.map(move |outcome| match outcome {
        Ok(Ok(response)) => {
            let response = response.map_into_boxed_body();
            Answer::Whole(if pages && is_of_a_page(&response) {
                response
            } else {
                as_problem(response)
            })
        }
        Ok(Err(error)) => Answer::Bare(failed(&error, pages)),
        Err(_) => Answer::Bare(ApiError::Internal(Panicked.into()).response()),
    })
}

/// Returns the response to an error of a middleware. (Errors of handlers are responses by now.)
fn failed(error: &Error, pages: bool) -> HttpResponse {
    let fault = RequestContext::current(|context| context.fault.take()).flatten();
    if let Some(fault) = fault {
        return ApiError::Store(fault).response();
    }
    let status = error.as_response_error().status_code();
    if status.is_server_error() {
        tracing::error!(error = %error, "a middleware failed");
    }
    if pages {
        return error.error_response();
    }
    Problem::from(Kind::blank(status)).response()
}

/// Returns whether a route of the application itself has responded.
fn is_of_a_page(response: &ServiceResponse<BoxBody>) -> bool {
    let own = RequestContext::current(|context| context.own.get());
    own != Some(true) && response.request().match_pattern().is_some()
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
