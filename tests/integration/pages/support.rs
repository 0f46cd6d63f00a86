//! A browser that shows pages: it keeps cookies, follows no redirect by itself, and checks what holds for every page.

use std::{collections::BTreeMap, sync::Mutex};

use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{ACCEPT, COOKIE, HeaderMap, SET_COOKIE},
    redirect::Policy,
};
use skriptoteket_testing::http::builder;

use crate::api::support::{App, PASSWORD, with_form};

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A browser.
pub(crate) struct Browser {
    base: String,
    client: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) fn of(app: &App) -> Self {
        Self {
            base: app.public.clone(),
            client: builder().redirect(Policy::none()).build().unwrap(),
            cookies: Mutex::default(),
        }
    }

    /// Returns a browser in which this user, whose password is [`PASSWORD`], has logged in on the page.
    pub(crate) async fn logged_in(app: &App, name: &str) -> Self {
        let browser = Self::of(app);
        let page = browser.log_in(name, PASSWORD).await;
        page.expect_redirect("/continue");
        browser
    }

    /// Returns a request as a browser sends it when it shows a page.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        request.header(ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(self.request(Method::GET, path)).await
    }

    /// Submits a form.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(with_form(self.request(Method::POST, path), fields))
            .await
    }

    /// Submits a form with the CSRF token of the session.
    pub(crate) async fn submit_with_token(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.token().await;
        let token = [("csrf_token", token.as_str())];
        self.submit(path, &[&token, fields].concat()).await
    }

    /// Returns the CSRF token of the forms of this session.
    pub(crate) async fn token(&self) -> String {
        let page = self.get("/logout").await;
        page.expect_status(200);
        page.value_of("csrf_token").unwrap()
    }

    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Page {
        let fields = [("username", name), ("password", password)];
        self.submit("/login", &fields).await
    }

    /// Sends a request with the cookies, keeps those of the response, and checks the response.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Page {
        let header: Vec<String> = {
            let cookies = self.cookies.lock().unwrap();
            cookies.iter().map(|(k, v)| format!("{k}={v}")).collect()
        };
        let request = if header.is_empty() {
            request
        } else {
            request.header(COOKIE, header.join("; "))
        };
        let response = request.send().await.unwrap();
        let page = Page {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        };
        let mut cookies = self.cookies.lock().unwrap();
        for cookie in page.headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        page.check();
        page
    }

    /// Returns whether the browser has a cookie.
    pub(crate) fn has_cookie(&self) -> bool {
        !self.cookies.lock().unwrap().is_empty()
    }

    /// Returns the status of `/api/session` with the cookies.
    pub(crate) async fn session(&self) -> u16 {
        let header: Vec<String> = {
            let cookies = self.cookies.lock().unwrap();
            cookies.iter().map(|(k, v)| format!("{k}={v}")).collect()
        };
        let request = self.client.get(format!("{}/api/session", self.base));
        let request = request.header(COOKIE, header.join("; "));
        request.send().await.unwrap().status().as_u16()
    }
}

/// A page, fully read.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn expect_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn expect_redirect(&self, target: &str) -> &Self {
        self.expect_status(303);
        assert_eq!(self.header("location"), Some(target));
        self
    }

    /// Fails unless the page has this status and this text.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16, text: &str) -> &Self {
        self.expect_status(status);
        assert!(self.text.contains(text), "{text} is not in {}", self.text);
        self
    }

    /// Returns the value of the first field with this name.
    pub(crate) fn value_of(&self, field: &str) -> Option<String> {
        let (_, rest) = self
            .text
            .split_once(&format!("name=\"{field}\" value=\""))?;
        Some(rest.split('"').next()?.to_owned())
    }

    /// Checks what holds for every page and redirect.
    #[track_caller]
    fn check(&self) {
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("content-security-policy"), Some(POLICY));
        assert_eq!(self.header("referrer-policy"), Some("same-origin"));
        assert_eq!(
            self.header("cross-origin-opener-policy"),
            Some("same-origin")
        );
        assert_eq!(self.header("cache-control"), Some("no-store"));
        if self.status.is_redirection() {
            assert_eq!(self.text, "");
            return;
        }
        assert_eq!(
            self.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        // Nothing inline, which the policy would block.
        for inline in [" style=", "<style", "<script>", " onclick=", "javascript:"] {
            assert!(!self.text.contains(inline), "{inline} in {}", self.text);
        }
        assert!(self.text.starts_with("<!DOCTYPE html>"));
        assert_eq!(self.text.matches("<h1>").count(), 1, "{}", self.text);
        assert!(!self.text.contains(PASSWORD));
    }
}
