//! A calling service: it has a client secret and checks each response against the contract.

use std::sync::Arc;

use reqwest::RequestBuilder;
use serde_json::Value;
use skriptoteket_testing::{http::plain, jwt::basic};

use super::{Answer, browser::check_documented};

/// A registered service.
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) secret: String,
    base: String,
    client: reqwest::Client,
    document: Arc<Value>,
}

impl Machine {
    /// Creates the service from the registration in `issued`.
    pub(crate) fn new(base: &str, document: Arc<Value>, issued: &Value) -> Self {
        let text = |key: &str| issued[key].as_str().unwrap().to_owned();
        Self {
            id: text("client_id"),
            secret: text("client_secret"),
            base: base.to_owned(),
            client: plain(),
            document,
        }
    }

    /// Returns the same service with another secret.
    pub(crate) fn with_secret(&self, secret: &str) -> Self {
        Self {
            id: self.id.clone(),
            secret: secret.to_owned(),
            base: self.base.clone(),
            client: self.client.clone(),
            document: Arc::clone(&self.document),
        }
    }

    /// Returns a request to complete and pass to [`Machine::send`].
    pub(crate) fn request(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    /// Sends a form with the secret in the `Authorization` header.
    pub(crate) async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = with_form(self.request(path), fields);
        let authorization = basic(&self.id, &self.secret);
        self.send(request.header("authorization", authorization))
            .await
    }

    /// Requests a token with these fields in addition to the grant type.
    pub(crate) async fn ask_token(&self, fields: &[(&str, &str)]) -> Answer {
        let grant = ("grant_type", "client_credentials");
        let fields: Vec<_> = [grant].into_iter().chain(fields.iter().copied()).collect();
        self.form("/oauth2/token", &fields).await
    }

    /// Returns a new token.
    pub(crate) async fn token(&self) -> String {
        let answer = self.ask_token(&[]).await;
        let body = answer.expect_status(200).json();
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// Checks the limits of the service with this token.
    pub(crate) async fn check(&self, token: &str) -> Answer {
        let path = format!("/api/services/{}/check", self.id);
        self.send(self.request(&path).bearer_auth(token)).await
    }

    /// Sends a request and checks the rules for all responses to services.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.client.execute(request).await.unwrap();
        let answer = Answer {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
            has_body: true,
        };
        check_documented(&self.document, &method, &path, answer.status);
        assert!(answer.set_cookies().is_empty());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let waits = matches!(answer.status.as_u16(), 429 | 503);
        assert_eq!(answer.headers.contains_key("retry-after"), waits);
        assert!(!waits || answer.retry_after() >= 1);
        if path.starts_with("/oauth2/") {
            check_oauth(&answer);
        }
        answer
    }
}

/// Adds these fields to the request as a form.
pub(crate) fn with_form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let media = "application/x-www-form-urlencoded";
    request.header("content-type", media).body(form)
}

/// Checks the rules for all responses of the authorization server.
#[track_caller]
fn check_oauth(answer: &Answer) {
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    let challenge = answer.header("www-authenticate");
    let expected = (answer.status == 401).then_some(r#"Basic realm="skriptoteket""#);
    assert_eq!(challenge, expected);
    if answer.status.is_success() {
        return;
    }
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let error = answer.json();
    assert_eq!(error.as_object().unwrap().len(), 2, "{error}");
    let description = error["error_description"].as_str().unwrap();
    let allowed = |c: char| (' '..='~').contains(&c) && c != '"' && c != '\\';
    assert!(!description.is_empty() && description.chars().all(allowed));
}

impl Answer {
    /// Fails unless the response is this OAuth error.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, error: &str) -> &Self {
        self.expect_status(status);
        assert_eq!(self.json()["error"], error, "{:?}", self.text);
        self
    }

    /// Fails unless the response is a problem about the access token with a challenge that has this error.
    #[track_caller]
    pub(crate) fn expect_challenge(&self, status: u16, error: Option<&str>) -> &Self {
        self.expect_status(status);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let challenge = self.header("www-authenticate").unwrap();
        assert!(challenge.starts_with(r#"Bearer realm="skriptoteket""#));
        match error {
            Some(error) => assert!(
                challenge.contains(&format!(r#", error="{error}", error_description=""#)),
                "{challenge}"
            ),
            None => assert_eq!(challenge, r#"Bearer realm="skriptoteket""#),
        }
        self
    }
}
