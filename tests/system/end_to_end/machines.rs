//! Machines that use the service: registered services and their requests.

use reqwest::{Client, Response};
use serde_json::{Value, json};
use skriptoteket_testing::{
    http::plain,
    operator::{Caller, Operator},
    service::Service,
};

/// A registered service.
pub(crate) struct Machine {
    pub(crate) caller: Caller,
    client: Client,
}

impl Machine {
    /// Registers a service at this replica with this id and these `terms`.
    pub(crate) async fn register(
        service: &Service,
        admin: &Client,
        id: &str,
        terms: &Value,
    ) -> Self {
        let operator = Operator::with(admin.clone(), service);
        Self {
            caller: operator.register(id, terms.clone()).await,
            client: plain(),
        }
    }

    /// Rotates its secret, and returns the previous one.
    pub(crate) async fn rotate(&mut self, service: &Service, admin: &Client) -> String {
        let operator = Operator::with(admin.clone(), service);
        let secret = operator.rotate(&self.caller.id, None).await;
        std::mem::replace(&mut self.caller.secret, secret)
    }

    /// Disables the service.
    pub(crate) async fn disable(&self, service: &Service, admin: &Client) {
        let operator = Operator::with(admin.clone(), service);
        let change = json!({"disabled": true});
        operator.change(&self.caller.id, change).await;
    }

    /// Requests a token with this secret.
    pub(crate) async fn ask_token(&self, service: &Service, secret: &str) -> Response {
        let caller = Caller {
            secret: secret.to_owned(),
            ..self.caller.clone()
        };
        let request = caller.token_request(&self.client, service);
        request.send().await.unwrap()
    }

    /// Returns a token, requested with its own secret.
    pub(crate) async fn token(&self, service: &Service) -> String {
        self.caller.token(&self.client, service).await
    }

    /// Charges a request against its limits, and returns the HTTP status.
    pub(crate) async fn check(&self, service: &Service, token: &str) -> u16 {
        self.use_token(service, "check", token).await
    }

    /// Sends a heartbeat.
    pub(crate) async fn heartbeat(&self, service: &Service, token: &str) {
        let status = self.use_token(service, "heartbeat", token).await;
        assert_eq!(status, 204, "{}", self.caller.id);
    }

    async fn use_token(&self, service: &Service, what: &str, token: &str) -> u16 {
        let request = self.caller.own(&self.client, service, what, token);
        request.send().await.unwrap().status().as_u16()
    }
}

/// Returns the same token with another signature.
pub(crate) fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{other}{}", &signature[1..])
}
