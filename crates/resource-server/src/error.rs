//! Why a resource server cannot be configured.

use skriptoteket_services::InvalidServiceId;

/// Why no verifier was created. The text says what is expected and contains no secret.
#[derive(Debug, thiserror::Error)]
pub enum ResourceServerError {
    /// The issuer is not a valid URL of a Skriptoteket.
    #[error(
        "the issuer has to be the URL of a Skriptoteket, https://HOST[:PORT], without user name, query or fragment"
    )]
    Issuer,
    /// The issuer would be called without TLS.
    #[error(
        "the issuer has to be an https:// URL, because an attacker on the network could replace the keys; http:// is for localhost, 127.0.0.0/8 and [::1] only"
    )]
    Clear,
    /// No audience was set.
    #[error(
        "set the audience of this application: tokens for other applications must not be accepted"
    )]
    NoAudience,
    /// The timeout is out of range.
    #[error("the timeout has to be from 10 ms to 1 min")]
    Timeout,
    /// The client id is invalid.
    #[error("the client id for introspection")]
    ClientId(#[from] InvalidServiceId),
    /// The client secret contains characters other than visible ASCII.
    #[error("the client secret for introspection has to be visible ASCII text")]
    ClientSecret,
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}
