//! HTTP clients.

use reqwest::{Client, ClientBuilder, Response};

/// Returns a client that keeps cookies.
pub fn client() -> Client {
    builder().cookie_store(true).build().unwrap()
}

/// Returns a client that keeps no cookies.
pub fn plain() -> Client {
    builder().build().unwrap()
}

/// Returns the builder of a client. It uses no proxy and trusts no certificate: every server is on loopback, without TLS.
pub fn builder() -> ClientBuilder {
    // A second call, from another test of this process, has no effect.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().tls_certs_only([])
}

/// Returns the cookie that a response sets, as a browser sends it back: `name=value`.
pub fn cookie_of(response: &Response) -> String {
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}
