//! A browser that keeps its cookies and checks each response against the contract.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{COOKIE, HeaderMap, SET_COOKIE},
};
use serde_json::{Value, json};
use skriptoteket_testing::http::plain;

use super::PASSWORD;

/// The `Cache-Control` of an application's page that is the same for all users.
pub(crate) const PUBLIC: &str = "public, max-age=60";

/// A browser that keeps its cookies, including `Secure` ones.
pub(crate) struct Browser {
    base: String,
    client: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
    document: Arc<Value>,
}

impl Browser {
    /// Creates a browser for the service at `base`, whose contract is `document`.
    pub(crate) fn new(base: &str, document: Arc<Value>) -> Self {
        Self {
            base: base.to_owned(),
            client: plain(),
            cookies: Mutex::default(),
            document,
        }
    }

    /// Returns a request to complete and pass to [`Browser::send`].
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request("POST", path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request("PATCH", path).json(body)).await
    }

    /// Logs in a user whose password is [`PASSWORD`].
    pub(crate) async fn log_in(&self, name: &str) -> Answer {
        self.try_password(name, PASSWORD).await
    }

    pub(crate) async fn try_password(&self, name: &str, password: &str) -> Answer {
        let body = json!({"username": name, "password": password});
        self.post("/api/login", &body).await
    }

    /// Returns the session cookie, if there is one.
    pub(crate) fn cookie(&self) -> Option<String> {
        let cookies = self.cookies.lock().unwrap();
        cookies.values().next().cloned()
    }

    /// Stores a cookie as if a response had set it.
    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        let mut cookies = self.cookies.lock().unwrap();
        cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Sends a request with the cookies, keeps those of the response, and checks the rules for all responses.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let cookies = self.cookies.lock().unwrap().clone();
        let header: Vec<String> = cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let mut request = request.build().unwrap();
        if !header.is_empty() {
            let header = header.join("; ").parse().unwrap();
            request.headers_mut().insert(COOKIE, header);
        }
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.client.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = Answer {
            status,
            headers,
            text: response.text().await.unwrap(),
            has_body: method != Method::HEAD,
        };
        self.keep_cookies(&answer);
        answer.check_common();
        check_documented(&self.document, &method, &path, answer.status);
        answer
    }

    fn keep_cookies(&self, answer: &Answer) {
        let mut cookies = self.cookies.lock().unwrap();
        for cookie in answer.set_cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// Fails unless the document contains the response of the operation. (Requests with an unknown path or method have no operation.)
#[track_caller]
pub(super) fn check_documented(document: &Value, method: &Method, path: &str, status: StatusCode) {
    let paths = document["paths"].as_object().unwrap();
    let matches = |pattern: &str| {
        let same = |(p, s): (&str, &str)| p == s || (p.starts_with('{') && !s.is_empty());
        let segments = pattern.split('/').zip(path.split('/'));
        pattern.split('/').count() == path.split('/').count() && segments.into_iter().all(same)
    };
    let item = paths.iter().find(|(pattern, _)| matches(pattern));
    let name = method.as_str().to_lowercase();
    let operation = item.and_then(|(_, it)| it.get(&name));
    // Methods are case-sensitive: `get` is not `GET`.
    if let (Some(operation), true) = (operation, name.to_uppercase() == method.as_str()) {
        let documented = &operation["responses"][status.as_str()];
        assert!(
            documented.is_object(),
            "{method} {path} has status {status}, which is not in the document"
        );
    }
}

/// A response, fully read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// False for responses to `HEAD`.
    pub(super) has_body: bool,
}

impl Answer {
    /// Returns the body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let parsed = serde_json::from_str(&self.text);
        parsed.unwrap_or_else(|_| panic!("not JSON: {:?}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        let cookies = self.headers.get_all(SET_COOKIE).iter();
        cookies.map(|value| value.to_str().unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn expect_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.text);
        self
    }

    /// Fails unless the response is a problem of this type.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, kind: &str) -> &Self {
        self.expect_status(status);
        assert_eq!(self.json()["type"], kind, "{:?}", self.text);
        self
    }

    /// Returns the seconds of `Retry-After`.
    #[track_caller]
    pub(crate) fn retry_after(&self) -> u64 {
        self.header("retry-after").unwrap().parse().unwrap()
    }

    /// Checks the rules for all responses.
    #[track_caller]
    fn check_common(&self) {
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        // A page of an application may be cached if it does not set a session cookie.
        let kept = self.header("cache-control");
        let is_public = kept == Some(PUBLIC) && self.set_cookies().is_empty();
        assert!(kept == Some("no-store") || is_public, "{kept:?}");
        assert_eq!(self.header("referrer-policy"), Some("no-referrer"));
        let policy = "default-src 'none'; frame-ancestors 'none'";
        assert_eq!(self.header("content-security-policy"), Some(policy));
        assert_eq!(
            self.header("cross-origin-resource-policy"),
            Some("same-origin")
        );
        assert_eq!(self.header("server"), None);
        let media = self.header("content-type");
        if self.status == StatusCode::NO_CONTENT || !self.has_body {
            assert_eq!(self.text, "");
        } else if self.status.is_success() {
            assert_eq!(media, Some("application/json"));
            self.json();
        } else {
            assert_eq!(media, Some("application/problem+json"), "{}", self.status);
            let problem = self.json();
            assert_eq!(problem["status"], self.status.as_u16());
            assert!(problem["type"].is_string() && problem["title"].is_string());
            if self.status.is_server_error() {
                assert_eq!(problem.get("detail"), None);
            }
            let waits = matches!(self.status.as_u16(), 429 | 503);
            assert_eq!(self.headers.contains_key("retry-after"), waits);
            assert!(!waits || self.retry_after() >= 1);
        }
    }
}
