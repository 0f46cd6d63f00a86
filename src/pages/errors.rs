//! Error pages.

use std::sync::Arc;

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;
use skriptoteket_actix::{ErrorPages, PageRequest, problem::Problem};

use super::{
    branding::Branding,
    next::Next,
    texts::{Texts, fill},
    view::{Frame, language, page, see_other},
};

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame<'a>,
    text: String,
    status: String,
    link: (&'static str, &'static str),
}

/// Paths of the API, whose errors are problem documents for all clients.
const OF_THE_API: [&str; 3] = ["/api/", "/oauth2/", "/.well-known/"];

/// Creates the error pages.
#[derive(Debug)]
pub(super) struct Errors {
    branding: Arc<Branding>,
}

impl Errors {
    pub(super) const fn new(branding: Arc<Branding>) -> Self {
        Self { branding }
    }
}

impl ErrorPages for Errors {
    fn page(&self, request: &PageRequest, problem: &Problem) -> Option<HttpResponse> {
        let target = request.target.to_string();
        if OF_THE_API.iter().any(|it| target.starts_with(it)) {
            return None;
        }
        let logged_out = problem.status() == StatusCode::UNAUTHORIZED;
        if logged_out && request.method.is_safe() {
            let next = Next::parse(&target).filter(|next| next.as_str() != "/");
            return Some(see_other(&Next::of_page("/login", next.as_ref())));
        }
        let language = language(&self.branding, &request.languages());
        let t = language.texts();
        let (title, text) = explain(t, problem);
        let shown = page(
            problem.status(),
            &ErrorPage {
                frame: Frame {
                    t,
                    lang: language.tag(),
                    branding: &self.branding,
                    title,
                    user: None,
                },
                text,
                status: fill(t.error_status, problem.status().as_str()),
                link: if logged_out {
                    ("/login", t.log_in)
                } else {
                    ("/account", t.account)
                },
            },
        );
        // A template of texts does not fail; the problem document is correct, too.
        shown.ok()
    }
}

/// Returns the title and the explanation of a problem.
fn explain(t: &'static Texts, problem: &Problem) -> (&'static str, String) {
    let (title, text) = match problem.status() {
        StatusCode::UNAUTHORIZED => (t.session_over, t.session_over_text),
        StatusCode::FORBIDDEN if problem.id() == "/problems/not-allowed" => {
            (t.forbidden, t.forbidden_text)
        }
        StatusCode::FORBIDDEN => (t.outdated, t.outdated_text),
        StatusCode::NOT_FOUND => (t.not_found, t.not_found_text),
        StatusCode::TOO_MANY_REQUESTS => {
            let wait = problem.retry_after().unwrap_or(1);
            return (t.too_many, t.too_many_attempts_for(wait));
        }
        StatusCode::SERVICE_UNAVAILABLE => (t.unavailable, t.unavailable_text),
        status if status.is_client_error() => (t.bad_request, t.bad_request_text),
        _ => (t.internal, t.internal_text),
    };
    (title, text.to_owned())
}
