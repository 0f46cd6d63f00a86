//! Machines that use the service: registered services and their requests.

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::process::{Service, plain};

/// A registered service.
pub(crate) struct Machine {
    pub(crate) id: &'static str,
    pub(crate) secret: String,
    client: Client,
}

impl Machine {
    /// Registers a service at this replica with this id and these `terms`.
    pub(crate) async fn register(
        service: &Service,
        admin: &Client,
        id: &'static str,
        terms: &Value,
    ) -> Self {
        let mut registration = json!({"id": id});
        for (name, value) in terms.as_object().unwrap() {
            registration[name] = value.clone();
        }
        let request = admin.post(service.url("/api/admin/services"));
        let answer = request.json(&registration).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{id}");
        Self {
            id,
            secret: secret(answer).await,
            client: plain(),
        }
    }

    /// Rotates its secret, and returns the previous one.
    pub(crate) async fn rotate(&mut self, service: &Service, admin: &Client) -> String {
        let url = service.url(&format!("/api/admin/services/{}/rotate", self.id));
        let answer = admin.post(url).json(&json!({})).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        std::mem::replace(&mut self.secret, secret(answer).await)
    }

    /// Disables the service.
    pub(crate) async fn disable(&self, service: &Service, admin: &Client) {
        let url = service.url(&format!("/api/admin/services/{}", self.id));
        let request = admin.patch(url).json(&json!({"disabled": true}));
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Requests a token with this secret.
    pub(crate) async fn ask_token(&self, service: &Service, secret: &str) -> Response {
        let form = "grant_type=client_credentials";
        let request = self.client.post(service.url("/oauth2/token"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        send(request.basic_auth(self.id, Some(secret)).body(form)).await
    }

    /// Returns a token, requested with its own secret.
    pub(crate) async fn token(&self, service: &Service) -> String {
        let answer = self.ask_token(service, &self.secret).await;
        assert_eq!(answer.status(), 200, "{}", self.id);
        let issued: Value = answer.json().await.unwrap();
        issued["access_token"].as_str().unwrap().to_owned()
    }

    /// Charges a request against its limits, and returns the HTTP status.
    pub(crate) async fn check(&self, service: &Service, token: &str) -> u16 {
        self.use_token(service, "check", token).await
    }

    /// Sends a heartbeat.
    pub(crate) async fn heartbeat(&self, service: &Service, token: &str) {
        let status = self.use_token(service, "heartbeat", token).await;
        assert_eq!(status, 204, "{}", self.id);
    }

    async fn use_token(&self, service: &Service, what: &str, token: &str) -> u16 {
        let url = service.url(&format!("/api/services/{}/{what}", self.id));
        let answer = send(self.client.post(url).bearer_auth(token)).await;
        answer.status().as_u16()
    }
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

async fn secret(issued: Response) -> String {
    let issued: Value = issued.json().await.unwrap();
    issued["client_secret"].as_str().unwrap().to_owned()
}

/// Returns the same token with another signature.
pub(crate) fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{other}{}", &signature[1..])
}
