//! An operator who registers services and rotates secrets and keys, and callers of the API.

use std::{
    path::Path,
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::process::Service;

/// Settings with which no rate or burst is ever reached.
pub(crate) const UNLIMITED: [(&str, &str); 2] =
    [("service_rate", "10000/s"), ("service_burst", "1000000")];

/// The assertion type of a signed JWT.
pub(crate) const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A superuser logged in at a server.
#[derive(Clone)]
pub(crate) struct Operator {
    client: Client,
    services: String,
}

/// A registered service that sends requests.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Operator {
    pub(crate) async fn of(service: &Service) -> Self {
        Self {
            client: service.admin().await,
            services: service.url("/api/admin/services"),
        }
    }

    /// Registers a service. `more` are the settings that differ from the configured defaults.
    pub(crate) async fn register(&self, id: &str, more: Value) -> Caller {
        let answer = self.try_register(id, more).await.unwrap();
        assert_eq!(answer.status(), 201);
        Caller {
            id: id.into(),
            secret: secret(answer).await,
        }
    }

    pub(crate) async fn try_register(
        &self,
        id: &str,
        mut more: Value,
    ) -> reqwest::Result<Response> {
        more["id"] = id.into();
        self.client.post(&self.services).json(&more).send().await
    }

    pub(crate) async fn change(&self, id: &str, change: Value) {
        let url = format!("{}/{id}", self.services);
        let answer = self.client.patch(url).json(&change).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Rotates the service's secret, and returns the new one.
    pub(crate) async fn rotate(&self, id: &str, overlap_seconds: u64) -> String {
        let answer = self.try_rotate(id, overlap_seconds).await.unwrap();
        assert_eq!(answer.status(), 200);
        secret(answer).await
    }

    pub(crate) async fn try_rotate(&self, id: &str, overlap: u64) -> reqwest::Result<Response> {
        let url = format!("{}/{id}/rotate", self.services);
        let body = json!({"overlap_seconds": overlap});
        self.client.post(url).json(&body).send().await
    }

    /// Returns every registered service.
    pub(crate) async fn all(&self) -> Vec<Value> {
        let answer = self.client.get(&self.services).send().await.unwrap();
        let list: Value = answer.json().await.unwrap();
        list["services"].as_array().unwrap().clone()
    }
}

async fn secret(answer: Response) -> String {
    let issued: Value = answer.json().await.unwrap();
    issued["client_secret"].as_str().unwrap().to_owned()
}

impl Caller {
    /// Posts a form with the secret in the `Authorization` header.
    pub(crate) fn ask(&self, http: &Client, url: &str, form: &[(&str, &str)]) -> RequestBuilder {
        post_form(http, url, form).basic_auth(&self.id, Some(&self.secret))
    }

    /// Requests a token.
    pub(crate) fn token_request(&self, http: &Client, service: &Service) -> RequestBuilder {
        let grant = [("grant_type", "client_credentials")];
        self.ask(http, &service.url("/oauth2/token"), &grant)
    }

    pub(crate) async fn token(&self, http: &Client, service: &Service) -> String {
        let answer = self.token_request(http, service).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        access_token(answer).await
    }

    /// Introspects a token.
    pub(crate) async fn introspect(&self, http: &Client, service: &Service, token: &str) -> Value {
        let url = service.url("/oauth2/introspect");
        let answer = self.ask(http, &url, &[("token", token)]).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    pub(crate) async fn revoke(&self, http: &Client, service: &Service, token: &str) {
        let url = service.url("/oauth2/revoke");
        let answer = self.ask(http, &url, &[("token", token)]).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }

    /// Sends a request of the service's own API (`check`, `heartbeat`) with this token.
    pub(crate) fn own(
        &self,
        http: &Client,
        service: &Service,
        what: &str,
        token: &str,
    ) -> RequestBuilder {
        let url = service.url(&format!("/api/services/{}/{what}", self.id));
        http.request(Method::POST, url).bearer_auth(token)
    }
}

pub(crate) fn post_form(http: &Client, url: &str, form: &[(&str, &str)]) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    http.post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

pub(crate) async fn access_token(answer: Response) -> String {
    let issued: Value = answer.json().await.unwrap();
    issued["access_token"].as_str().unwrap().to_owned()
}

/// Returns a part of a JWT: 0 is the header, 1 the claims.
pub(crate) fn part(token: &str, n: usize) -> Value {
    let part = token.split('.').nth(n).unwrap();
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// A service's key pair.
pub(crate) struct KeyPair(SigningKey);

impl KeyPair {
    pub(crate) fn generate() -> Self {
        Self(SigningKey::from_bytes(&rand::random()))
    }

    /// Returns the public key as `public_keys` of a registration.
    pub(crate) fn public(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]})
    }

    /// Returns a signed assertion of `client` for this audience.
    pub(crate) fn assertion(&self, client: &str, audience: &str, jti: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let claims = json!({
            "iss": client, "sub": client, "aud": audience, "jti": jti, "exp": now.as_secs() + 120,
        });
        let encoded = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encoded(json!({"alg": "EdDSA"})), encoded(claims));
        let signature = self.0.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Requests a token with an assertion.
pub(crate) async fn assert_to(http: &Client, service: &Service, assertion: &str) -> Response {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", assertion),
    ];
    let request = post_form(http, &service.url("/oauth2/token"), &form);
    request.send().await.unwrap()
}

/// Runs the command line next to a server in `dir`.
pub(crate) fn command(dir: &Path, redis_url: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skriptoteket"));
    command
        .args(arguments)
        .current_dir(dir)
        .env_clear()
        .env("SKRIPTOTEKET_DATA_DIR", dir.join("data"));
    for (name, value) in UNLIMITED.into_iter().chain(super::rotation::QUICK_KEYS) {
        let name = format!("SKRIPTOTEKET_{}", name.to_uppercase());
        command.env(name, value);
    }
    if let Some(url) = redis_url {
        command.env("SKRIPTOTEKET_REDIS_URL", url);
    }
    command.output().unwrap()
}
