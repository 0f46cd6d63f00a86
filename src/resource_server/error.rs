//! Why a resource server cannot be configured.

use crate::services::InvalidServiceId;

/// Why no verifier was made. The text says what would be right, and shows no secret.
#[derive(Debug, thiserror::Error)]
pub enum ResourceServerError {
    /// The issuer is no URL that can be one.
    #[error(
        "the issuer has to be the URL of a Skriptoteket, https://HOST[:PORT], without user name, query or fragment"
    )]
    Issuer,
    /// The issuer would be asked in the clear.
    #[error(
        "the issuer has to be an https:// URL, because anyone on the way could put other keys in; http:// is for localhost, 127.0.0.0/8 and [::1] only"
    )]
    Clear,
    /// There is no audience.
    #[error(
        "name the audience of this application: tokens for other ones must not be accepted here"
    )]
    NoAudience,
    /// The timeout is out of bounds.
    #[error("the timeout has to be from 10 ms to 1 min")]
    Timeout,
    /// The client id is none.
    #[error("the client id for introspection")]
    ClientId(#[from] InvalidServiceId),
    /// The client secret cannot be one.
    #[error("the client secret for introspection has to be visible ASCII text")]
    ClientSecret,
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}
