//! A client of the API: sends requests as a browser does, and records each in the ledger.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use anyhow::Context;
use reqwest::{
    Method, RequestBuilder,
    header::{COOKIE, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER, SET_COOKIE, USER_AGENT},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::{
    ledger::Ledger,
    reach::{self, Reach},
};
use crate::network::is_loopback;

/// Longer than a response may take: the store timeout and a queue of password checks.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Creates the HTTP client for all requests.
///
/// # Errors
///
/// If the certificates of the system cannot be read.
pub(super) fn http_client(target: &Url) -> anyhow::Result<reqwest::Client> {
    let mut client = reqwest::Client::builder()
        .timeout(TIME_LIMIT)
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(target) {
        // A proxy from the environment does not lead back to the local machine.
        client = client.no_proxy();
    }
    if target.scheme() == "http" {
        // No certificates are needed, so it also works on a machine without them.
        client = client.tls_certs_only([]);
    }
    client.build().context("cannot create an HTTP client")
}

/// The credentials of a login.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: SecretString,
}

/// The origin of a login, as browsers report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// A page of the service itself.
    Own,
    /// A page of another site.
    Other,
}

/// A browser: at most one session, and its address.
#[derive(Clone, Debug)]
pub(super) struct Browser {
    cookie: Option<SecretString>,
    user_agent: &'static str,
    /// Sent in `X-Forwarded-For`, as a proxy would; `None` sends no header.
    address: Option<IpAddr>,
}

impl Browser {
    /// Creates a browser without a session.
    pub(super) const fn new(user_agent: &'static str, address: Option<IpAddr>) -> Self {
        Self {
            cookie: None,
            user_agent,
            address,
        }
    }

    /// Returns true if it has a cookie; the session may have ended nevertheless.
    pub(super) const fn has_cookie(&self) -> bool {
        self.cookie.is_some()
    }

    fn headers(&self, site: Site) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(self.user_agent));
        let (same, origin) = match site {
            Site::Own => ("same-origin", None),
            Site::Other => ("cross-site", Some("https://elsewhere.example")),
        };
        headers.insert("sec-fetch-site", HeaderValue::from_static(same));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        let address = self.address.map(|address| address.to_string());
        if let Some(Ok(address)) = address.map(|address| address.parse()) {
            headers.insert("x-forwarded-for", address);
        }
        let cookie = self.cookie.as_ref().map(|it| it.expose_secret().parse());
        if let Some(Ok::<HeaderValue, _>(mut cookie)) = cookie {
            cookie.set_sensitive(true);
            headers.insert(COOKIE, cookie);
        }
        headers
    }

    /// Stores the cookie that a response sets, or deletes the one that it removes.
    fn absorb(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(SET_COOKIE) {
            let pair = line.to_str().ok().and_then(|it| it.split(';').next());
            let Some((_, value)) = pair.and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            self.cookie = (!value.trim().is_empty())
                .then(|| SecretString::from(pair.unwrap_or_default().trim().to_owned()));
        }
    }
}

/// A response. Its body may contain a secret or a token, so debug output omits it.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The value of `Retry-After`, in seconds.
    pub(super) retry_after: Option<u64>,
    /// The JSON body; null if there is none.
    pub(super) body: Value,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({})", self.status)
    }
}

impl Answer {
    /// Sends this request and returns the response with its headers.
    async fn to(request: RequestBuilder) -> Result<(Self, HeaderMap), reqwest::Error> {
        let response = request.send().await?;
        let headers = response.headers().clone();
        let status = response.status().as_u16();
        let retry_after = headers.get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|it| it.to_str().ok()?.parse().ok());
        let body = response.bytes().await?;
        let answer = Self {
            status,
            retry_after,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        Ok((answer, headers))
    }
}

/// A request other than a login.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Path and query, without a slash at the start.
    pub(super) path: &'a str,
    pub(super) body: Option<Value>,
    /// The statuses that the contract defines for it, besides 5xx.
    pub(super) expected: &'a [u16],
}

impl<'a> Request<'a> {
    /// Creates a `GET` request.
    pub(super) const fn get(path: &'a str, expected: &'a [u16]) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            expected,
        }
    }
}

/// The API of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Api {
    client: reqwest::Client,
    base: Url,
    ledger: Arc<Ledger>,
    reach: Reach,
}

impl Api {
    /// Creates a client of the API at this origin.
    pub(super) const fn new(
        client: reqwest::Client,
        base: Url,
        ledger: Arc<Ledger>,
        reach: Reach,
    ) -> Self {
        Self {
            client,
            base,
            ledger,
            reach,
        }
    }

    /// Returns whether the service responds.
    pub(super) const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Sends a public request, outside the ledger, with this timeout. Returns false if there was no response.
    pub(super) async fn knock(&self, at_most: Duration) -> bool {
        let Ok(url) = self.base.join("api/openapi.json") else {
            return false;
        };
        let request = self.client.get(url).timeout(at_most.min(TIME_LIMIT));
        self.answer(request).await.is_some()
    }

    /// Sends a request, and records whether there was a response. Returns `None` if there was no complete one.
    pub(super) async fn answer(&self, request: RequestBuilder) -> Option<(Answer, HeaderMap)> {
        let sent = self.reach.now();
        match Answer::to(request).await {
            Ok(answer) => {
                self.reach.answered();
                Some(answer)
            }
            Err(error) => {
                self.reach.failed(sent, reach::cause(error));
                None
            }
        }
    }

    /// Tries to log in. Returns `None` if there was no response.
    pub(super) async fn login(
        &self,
        browser: &mut Browser,
        credentials: &Credentials,
        remember_me: bool,
        site: Site,
    ) -> Option<Answer> {
        let body = json!({
            "username": credentials.username,
            "password": credentials.password.expose_secret(),
            "remember_me": remember_me,
        });
        let answer = self
            .exchange(browser, Method::POST, "api/login", Some(body), site)
            .await;
        self.ledger.login(answer.as_ref().map(|it| it.status));
        answer
    }

    /// Sends another request. Returns `None` if there was no response.
    pub(super) async fn send(&self, browser: &mut Browser, request: Request<'_>) -> Option<Answer> {
        let Request {
            method,
            path,
            body,
            expected,
        } = request;
        let answer = self.exchange(browser, method, path, body, Site::Own).await;
        let status = answer.as_ref().map(|it| it.status);
        self.ledger.request(status, expected);
        answer
    }

    /// Creates a `POST` to this path from a client that is not a browser.
    pub(super) fn post(&self, path: &str) -> Option<RequestBuilder> {
        let url = self.base.join(path).ok()?;
        Some(self.client.post(url))
    }

    async fn exchange(
        &self,
        browser: &mut Browser,
        method: Method,
        path: &str,
        body: Option<Value>,
        site: Site,
    ) -> Option<Answer> {
        let url = self.base.join(path).ok()?;
        let mut request = self.client.request(method, url);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let request = request.headers(browser.headers(site));
        let (answer, headers) = self.answer(request).await?;
        browser.absorb(&headers);
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_cookie(lines: &[&'static str]) -> HeaderMap {
        let lines = lines.iter().map(|line| HeaderValue::from_static(line));
        lines.map(|line| (SET_COOKIE, line)).collect()
    }

    fn cookie(browser: &Browser) -> Option<String> {
        let headers = browser.headers(Site::Own);
        headers
            .get(COOKIE)
            .map(|it| it.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_browser_keeps_its_cookie_until_it_is_taken_away() {
        let mut browser = Browser::new("test", None);
        assert_eq!(cookie(&browser), None);
        browser.absorb(&set_cookie(&["skriptoteket=abc=; Path=/; HttpOnly"]));
        assert_eq!(cookie(&browser).as_deref(), Some("skriptoteket=abc="));
        browser.absorb(&HeaderMap::new());
        assert!(browser.has_cookie());
        browser.absorb(&set_cookie(&["skriptoteket=; Path=/; Max-Age=0"]));
        assert_eq!(cookie(&browser), None);
    }

    #[test]
    fn the_cookie_is_not_shown_by_debug() {
        let mut browser = Browser::new("test", None);
        browser.absorb(&set_cookie(&["skriptoteket=topsecret"]));
        assert!(!format!("{browser:?}").contains("topsecret"));
        let headers = browser.headers(Site::Own);
        assert!(!format!("{headers:?}").contains("topsecret"));
    }

    #[test]
    fn another_site_tells_that_it_is_one_and_a_proxy_tells_the_address() {
        let address = "2001:db8::7".parse().unwrap();
        let headers = Browser::new("test", Some(address)).headers(Site::Other);
        assert_eq!(headers["sec-fetch-site"], "cross-site");
        assert_eq!(headers["x-forwarded-for"], "2001:db8::7");
        assert!(headers.contains_key(ORIGIN));
    }

    #[test]
    fn this_machine_is_reached_without_a_proxy() {
        let of = |url: &str| is_loopback(&url.parse().unwrap());
        assert!(of("http://127.0.0.1:8080") && of("http://[::1]:1") && of("http://localhost"));
        assert!(!of("http://192.0.2.1") && !of("https://localhost.example.org"));
    }
}
