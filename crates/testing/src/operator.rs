//! An operator who registers services and rotates secrets and keys, and callers of the API.

use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{
    jwt::{self, KeyPair},
    service::Service,
};

/// Settings with which no rate or burst is ever reached.
pub const UNLIMITED: [(&str, &str); 2] =
    [("service_rate", "10000/s"), ("service_burst", "1000000")];

/// The assertion type of a signed JWT.
pub const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A superuser logged in at a server.
#[derive(Clone, Debug)]
pub struct Operator {
    client: Client,
    services: String,
}

/// A registered service that sends requests.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its id.
    pub id: String,
    /// Its client secret.
    pub secret: String,
}

impl Operator {
    /// Logs in at a server.
    pub async fn of(service: &Service) -> Self {
        Self::with(service.admin().await, service)
    }

    /// Uses the session of a client that is logged in.
    pub fn with(client: Client, service: &Service) -> Self {
        Self {
            client,
            services: service.url("/api/admin/services"),
        }
    }

    /// Registers a service. `more` are the settings that differ from the configured defaults.
    pub async fn register(&self, id: &str, more: Value) -> Caller {
        let answer = self.try_register(id, more).await.unwrap();
        assert_eq!(answer.status(), 201);
        Caller {
            id: id.into(),
            secret: secret(answer).await,
        }
    }

    /// Sends the request of [`Operator::register`].
    ///
    /// # Errors
    ///
    /// If there is no response.
    pub async fn try_register(&self, id: &str, mut more: Value) -> reqwest::Result<Response> {
        more["id"] = id.into();
        self.client.post(&self.services).json(&more).send().await
    }

    /// Changes a service.
    pub async fn change(&self, id: &str, change: Value) {
        let url = format!("{}/{id}", self.services);
        let answer = self.client.patch(url).json(&change).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// Rotates the service's secret, and returns the new one. Without an overlap in seconds it is the configured one.
    pub async fn rotate(&self, id: &str, overlap: Option<u64>) -> String {
        let answer = self.try_rotate(id, overlap).await.unwrap();
        assert_eq!(answer.status(), 200);
        secret(answer).await
    }

    /// Sends the request of [`Operator::rotate`].
    ///
    /// # Errors
    ///
    /// If there is no response.
    pub async fn try_rotate(&self, id: &str, overlap: Option<u64>) -> reqwest::Result<Response> {
        let url = format!("{}/{id}/rotate", self.services);
        let body = overlap.map_or_else(|| json!({}), |it| json!({"overlap_seconds": it}));
        self.client.post(url).json(&body).send().await
    }

    /// Returns every registered service.
    pub async fn all(&self) -> Vec<Value> {
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
    pub fn ask(&self, http: &Client, url: &str, form: &[(&str, &str)]) -> RequestBuilder {
        post_form(http, url, form).basic_auth(&self.id, Some(&self.secret))
    }

    /// Requests a token.
    pub fn token_request(&self, http: &Client, service: &Service) -> RequestBuilder {
        let grant = [("grant_type", "client_credentials")];
        self.ask(http, &service.url("/oauth2/token"), &grant)
    }

    /// Returns a new token.
    pub async fn token(&self, http: &Client, service: &Service) -> String {
        let answer = self.token_request(http, service).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        access_token(answer).await
    }

    /// Introspects a token.
    pub async fn introspect(&self, http: &Client, service: &Service, token: &str) -> Value {
        let url = service.url("/oauth2/introspect");
        let answer = self.ask(http, &url, &[("token", token)]).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// Revokes a token.
    pub async fn revoke(&self, http: &Client, service: &Service, token: &str) {
        let url = service.url("/oauth2/revoke");
        let answer = self.ask(http, &url, &[("token", token)]).send().await;
        assert_eq!(answer.unwrap().status(), 200);
    }

    /// Sends a request of the service's own API (`check`, `heartbeat`) with this token.
    pub fn own(&self, http: &Client, service: &Service, what: &str, token: &str) -> RequestBuilder {
        let url = service.url(&format!("/api/services/{}/{what}", self.id));
        http.request(Method::POST, url).bearer_auth(token)
    }
}

/// Returns a POST request with a form.
pub fn post_form(http: &Client, url: &str, form: &[(&str, &str)]) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    http.post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

/// Returns the token of a response.
pub async fn access_token(answer: Response) -> String {
    let issued: Value = answer.json().await.unwrap();
    issued["access_token"].as_str().unwrap().to_owned()
}

/// A key pair that a service generated for itself. Its id is not registered.
#[derive(Debug)]
pub struct OwnKey(KeyPair);

impl OwnKey {
    /// Generates a key pair.
    pub fn generate(seed: [u8; 32]) -> Self {
        Self(KeyPair::of("", SigningKey::from_bytes(&seed)))
    }

    /// Returns the public key as `public_keys` of a registration.
    pub fn public(&self) -> Value {
        let x = jwt::encoded(self.0.public());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]})
    }

    /// Returns a signed assertion of `client` for this audience.
    pub fn assertion(&self, client: &str, audience: &str, jti: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let claims = json!({
            "iss": client, "sub": client, "aud": audience, "jti": jti, "exp": now.as_secs() + 120,
        });
        jwt::jwt(&json!({"alg": "EdDSA"}), &claims, |bytes| {
            self.0.sign(bytes)
        })
    }
}

/// Requests a token with an assertion.
pub async fn assert_to(http: &Client, service: &Service, assertion: &str) -> Response {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", assertion),
    ];
    let request = post_form(http, &service.url("/oauth2/token"), &form);
    request.send().await.unwrap()
}
