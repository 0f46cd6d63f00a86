//! Error pages: what a browser gets where an API client gets a problem document.

use std::fmt;

use crate::{problem::Problem, request_context::RequestContext};
use actix_web::{
    HttpResponse,
    dev::ServiceRequest,
    http::{
        Method, Uri,
        header::{
            self, AcceptLanguage, HeaderMap, HeaderName, HeaderValue, Quality, QualityItem,
            from_comma_delimited,
        },
    },
    mime::{self, Mime},
};

/// Creates the pages that browsers get instead of problem documents.
pub trait ErrorPages: fmt::Debug + Send + Sync {
    /// Returns the response to a request of a browser that failed with this problem. `None` to send the problem document.
    /// Headers of the problem document that the page does not set are added to it.
    fn page(&self, request: &PageRequest, problem: &Problem) -> Option<HttpResponse>;
}

/// What an error page depends on. Cheap to create: it shares the memory of the request.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The method.
    pub method: Method,
    /// The path with the query, as it was sent.
    pub target: Uri,
    accept: Vec<HeaderValue>,
    accept_language: Option<HeaderValue>,
}

impl PageRequest {
    /// Returns the request if its client may be a browser: it names `text/html` among what it accepts. The header is parsed
    /// when there is an error; see [`shows_pages`].
    pub(crate) fn of(request: &ServiceRequest) -> Option<Self> {
        let headers = request.headers();
        let mut accepted = headers.get_all(header::ACCEPT);
        accepted.any(names_html).then(|| Self {
            method: request.method().clone(),
            target: request.uri().clone(),
            accept: headers.get_all(header::ACCEPT).cloned().collect(),
            accept_language: headers.get(header::ACCEPT_LANGUAGE).cloned(),
        })
    }

    /// Returns the languages that the browser prefers; see [`preferred_languages`].
    #[must_use]
    pub fn languages(&self) -> Vec<String> {
        languages(self.accept_language.iter())
    }
}

fn names_html(value: &HeaderValue) -> bool {
    let html = b"text/html";
    let mut parts = value.as_bytes().windows(html.len());
    parts.any(|part| part.eq_ignore_ascii_case(html))
}

/// Returns whether the client accepts `text/html` by name, and at least as much as JSON.
fn shows_pages<'a>(accept: impl Iterator<Item = &'a HeaderValue> + 'a) -> bool {
    let accepted = from_comma_delimited::<_, QualityItem<Mime>>(accept);
    let accepted = accepted.unwrap_or_default();
    let quality = |is_meant: &dyn Fn(&Mime) -> bool| {
        let ranges = accepted.iter().filter(|it| is_meant(&it.item));
        ranges.map(|it| it.quality).max().unwrap_or(Quality::ZERO)
    };
    let html = quality(&|it| it.essence_str() == "text/html");
    let json = quality(&|it| {
        it.type_() == mime::APPLICATION
            && (it.subtype() == mime::JSON || it.suffix() == Some(mime::JSON))
    });
    html > Quality::ZERO && html >= json
}

/// Returns the language ranges (RFC 4647) that a browser prefers, the best first. Empty if it states none, or none that
/// can be read.
#[must_use]
pub fn preferred_languages(headers: &HeaderMap) -> Vec<String> {
    languages(headers.get_all(header::ACCEPT_LANGUAGE))
}

fn languages<'a>(values: impl Iterator<Item = &'a HeaderValue> + 'a) -> Vec<String> {
    let Ok(mut accepted) = from_comma_delimited::<_, QualityItem<_>>(values) else {
        return Vec::new();
    };
    // A quality of zero means that the language is not acceptable.
    accepted.retain(|it| it.quality > Quality::ZERO);
    let ranked = AcceptLanguage(accepted).ranked();
    ranked.iter().map(ToString::to_string).collect()
}

/// Headers that describe the body of the problem document.
const OF_THE_BODY: [HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_LENGTH];

/// Returns the page for a problem, if the request is for a page or for a path that does not exist.
pub(crate) fn page(
    pages: &dyn ErrorPages,
    request: &PageRequest,
    problem: &Problem,
    headers: &HeaderMap,
) -> Option<HttpResponse> {
    let is_for_page = RequestContext::current(|it| it.page.get() || it.route.get().is_none());
    if is_for_page != Some(true) || !shows_pages(request.accept.iter()) {
        return None;
    }
    let mut page = pages.page(request, problem)?;
    let set: Vec<HeaderName> = page.headers().keys().cloned().collect();
    for (name, value) in headers {
        if !OF_THE_BODY.contains(name) && !set.contains(name) {
            page.headers_mut().append(name.clone(), value.clone());
        }
    }
    Some(page)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_browser_accepts_html_by_name_and_at_least_as_much_as_json() {
        let shows = |accept: &str| {
            let request = TestRequest::get().insert_header((header::ACCEPT, accept));
            shows_pages(request.to_http_request().headers().get_all(header::ACCEPT))
        };
        for browser in [
            "text/html",
            "text/HTML, */*;q=0.1",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json;q=0.5, text/html;q=0.5",
        ] {
            assert!(shows(browser), "{browser}");
        }
        for other in [
            "",
            "*/*",
            "text/*",
            "application/json",
            "text/html;q=0",
            "application/problem+json, text/html;q=0.1",
            "application/json, text/html;q=0.9, */*;q=0.8",
            "text/html;;=",
        ] {
            assert!(!shows(other), "{other}");
        }
    }

    #[test]
    fn languages_are_ranked_and_a_quality_of_zero_is_none() {
        let ranked = |accepted: &str| {
            let request = TestRequest::get().insert_header((header::ACCEPT_LANGUAGE, accepted));
            preferred_languages(request.to_http_request().headers())
        };
        assert_eq!(ranked("en;q=0.5, sv-SE"), ["sv-SE", "en"]);
        assert_eq!(ranked("sv;q=0, en;q=0.1"), ["en"]);
        assert!(ranked(";;q=,").is_empty() && ranked("").is_empty());
    }
}
