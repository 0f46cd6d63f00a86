//! The headers that the request layer adds to responses.

use actix_web::{
    cookie::{Cookie, time::Duration as CookieDuration},
    http::{
        StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};

use super::{
    problem::MEDIA_TYPE,
    request_context::{CookieFate, RequestContext},
};

/// Headers of every response. Responses are data unless a handler sets a policy for its page: browsers must not run,
/// frame or sniff them, and must not cache them unless the handler allows it.
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

/// Headers that a handler may set itself.
const OF_THE_HANDLER: [HeaderName; 3] = [
    header::CACHE_CONTROL,
    header::CONTENT_SECURITY_POLICY,
    header::REFERRER_POLICY,
];

/// Adds the security headers to a response. The policies of [`OF_THE_HANDLER`] are kept if they are already set.
pub(super) fn make_safe(headers: &mut HeaderMap) {
    for (name, value) in &SAFETY {
        if !OF_THE_HANDLER.contains(name) || !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Completes the headers of a response. In an application with responses of its own, `only_own` leaves those without
/// security headers that are neither from a route of this crate nor a problem document.
pub(super) fn finish(status: StatusCode, headers: &mut HeaderMap, only_own: bool) {
    if !only_own || is_own(headers) {
        make_safe(headers);
        transport(status, headers);
    }
    if let Some(fate) = RequestContext::current(|context| context.cookie.get()).flatten() {
        rewrite_cookie(headers, fate);
    }
    if let Some(cookie) = RequestContext::take_renewed() {
        headers.append(header::SET_COOKIE, cookie);
        // Overrides the handler's policy: a shared cache would send the key to other clients.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

fn is_own(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE);
    let is_problem = media.is_some_and(|it| it.as_bytes() == MEDIA_TYPE.as_bytes());
    is_problem || RequestContext::current(|context| context.own.get()).unwrap_or(false)
}

/// Adds what only a service behind https sends.
fn transport(status: StatusCode, headers: &mut HeaderMap) {
    let seen_by_https = RequestContext::current(|it| it.trust_boundary.is_https()).unwrap_or(false);
    if seen_by_https {
        let (name, value) = TRANSPORT;
        headers.insert(name, value);
        let logged_out = RequestContext::current(|it| it.logged_out.get()).unwrap_or(false);
        if logged_out && (status.is_success() || status.is_redirection()) {
            let (name, value) = FORGET;
            headers.insert(name, value);
        }
    }
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
