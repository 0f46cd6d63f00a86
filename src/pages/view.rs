//! What every page has in common.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder,
    dev::Payload,
    http::{StatusCode, header},
    web::Data,
};
use askama::Template;
use skriptoteket_actix::{ApiError, Principal, preferred_languages};

use super::{Pages, branding::Branding, language::Language, texts::Texts};
use crate::{clock::Timestamp, http::audited::Outcome, sessions::SessionRecord};

/// The policy of every page: only its own style sheet, script, images and forms; nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The frame around the content of a page.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) t: &'static Texts,
    pub(super) lang: &'static str,
    pub(super) branding: &'a Branding,
    pub(super) title: &'a str,
    pub(super) user: Option<Menu>,
}

/// The menu of a user who is logged in.
#[derive(Debug)]
pub(super) struct Menu {
    pub(super) csrf_token: String,
}

/// The pages, for one request.
#[derive(Debug)]
pub(super) struct View {
    pub(super) pages: Data<Pages>,
    pub(super) language: Language,
}

impl FromRequest for View {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pages = request.app_data::<Data<Pages>>().cloned();
        let view = pages.map(|pages| {
            let language = language(pages.branding(), &preferred_languages(request.headers()));
            Self { pages, language }
        });
        ready(view.ok_or_else(|| ApiError::Internal("the pages are not registered".into())))
    }
}

/// How the browser came to a page.
#[derive(Debug)]
pub(super) struct Navigation {
    from_elsewhere: bool,
}

impl FromRequest for Navigation {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let site = request.headers().get("sec-fetch-site");
        let from_elsewhere = site.is_some_and(|it| it != "same-origin");
        ready(Ok(Self { from_elsewhere }))
    }
}

impl Navigation {
    /// Returns whether the page may show the notice in its address: not if the address was typed, or comes from another
    /// site, which could claim anything.
    pub(super) const fn may_notify(&self) -> bool {
        !self.from_elsewhere
    }
}

/// Returns the language of a page for a browser that prefers these languages.
pub(super) fn language(branding: &Branding, preferred: &[String]) -> Language {
    let preferred = preferred.iter().map(String::as_str);
    branding
        .language
        .unwrap_or_else(|| Language::preferred(preferred))
}

impl View {
    /// Returns the texts of the page.
    pub(super) fn texts(&self) -> &'static Texts {
        self.language.texts()
    }

    /// Returns the frame of a page, with the menu of its user.
    pub(super) fn frame<'a>(&'a self, title: &'a str, user: Option<&SessionRecord>) -> Frame<'a> {
        let menu = |session: &SessionRecord| Menu {
            csrf_token: self.pages.csrf().token(&session.id),
        };
        Frame {
            t: self.texts(),
            lang: self.language.tag(),
            branding: self.pages.branding(),
            title,
            user: user.map(menu),
        }
    }
}

/// Returns the response with this page.
pub(super) fn page(status: StatusCode, page: &impl Template) -> Result<HttpResponse, ApiError> {
    let html = page.render();
    let html = html.map_err(|error| ApiError::Internal(error.into()))?;
    Ok(headed(status)
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .body(html))
}

/// Returns the page that explains this error, with its status and headers, and for the audit trail with its outcome.
pub(super) fn failed_page(
    error: &ApiError,
    shown: &impl Template,
) -> Result<HttpResponse, ApiError> {
    let problem = error.problem();
    let mut response = page(problem.status(), shown)?;
    for (name, value) in problem.response().headers() {
        if [header::RETRY_AFTER, header::WWW_AUTHENTICATE].contains(name) {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
    response.extensions_mut().insert(Outcome(error.reason()));
    Ok(response)
}

/// Begins a response with the headers of a page.
fn headed(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        // Not no-referrer: browsers would send `Origin: null` with forms, and old ones send nothing else to tell our
        // forms from those of other sites.
        .insert_header((header::REFERRER_POLICY, "same-origin"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header((header::VARY, "accept-language, cookie"));
    response
}

/// Redirects to a page of this service.
pub(super) fn see_other(target: &str) -> HttpResponse {
    headed(StatusCode::SEE_OTHER)
        .insert_header((header::LOCATION, target))
        .finish()
}

/// A point in time as a page shows it.
#[derive(Debug)]
pub(super) struct Moment(Timestamp);

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Moment {
    /// The time for programs (RFC 3339).
    pub(super) fn machine(&self) -> String {
        self.0.to_rfc3339()
    }

    /// The time for people: to the minute, in UTC. The script replaces it with the time of the browser's time zone.
    pub(super) fn text(&self) -> String {
        let text = self.0.to_rfc3339();
        let minutes: String = text.chars().take("2026-01-31T12:00".len()).collect();
        format!("{} UTC", minutes.replace('T', " "))
    }
}

/// Returns the session of the request, if its user is logged in.
pub(super) fn user(principal: Option<&Principal>) -> Option<&SessionRecord> {
    principal.map(|it| &**it)
}
