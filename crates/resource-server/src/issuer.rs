//! The issuer as another application sees it: its name, and requests to it over HTTP.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect::Policy};
use url::Url;

use super::ResourceServerError;
use skriptoteket_core::{error::StoreError, network::is_loopback};
use skriptoteket_services::AuthFailure;

/// The maximum size of a response, in bytes. Responses of an issuer have some hundred.
const MAX_ANSWER: usize = 64 * 1024;

/// The issuer. Cheap to clone.
#[derive(Clone)]
pub(super) struct Issuer {
    /// The name of the issuer, as in its tokens.
    name: Arc<str>,
    client: Client,
}

/// Why there is no usable response. Neither the text nor the cause quotes anything that was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// The issuer could not be reached, or not in time.
    #[error("the issuer cannot be reached")]
    Unreachable(#[source] Arc<reqwest::Error>),
    /// The issuer responds, but cannot process the request at the moment.
    #[error("the issuer responded with {0}")]
    Status(StatusCode),
    /// The issuer rejects the request.
    #[error("the issuer rejected the request with {0}")]
    Refused(StatusCode),
    /// The response is too large.
    #[error("the issuer's response has more than {MAX_ANSWER} bytes")]
    TooLarge,
    /// The response is not what the request expects.
    #[error("the issuer's response cannot be read: {0}")]
    Unreadable(&'static str),
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(Arc::new(error.without_url()))
    }
}

impl From<Unanswered> for AuthFailure {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::Unreachable(_) | Unanswered::Status(_) => {
                Self::Store(StoreError::Unavailable(why.into()))
            }
            // Retrying does not help: an operator has to change something.
            Unanswered::Refused(_) | Unanswered::TooLarge | Unanswered::Unreadable(_) => {
                Self::Internal(why.into())
            }
        }
    }
}

impl Issuer {
    /// Creates the issuer `url`, which has `timeout` for each complete response.
    pub(super) fn new(url: &str, timeout: Duration) -> Result<Self, ResourceServerError> {
        let name = url.trim_end_matches('/');
        let parsed = Url::parse(name).map_err(|_| ResourceServerError::Issuer)?;
        let bare = parsed.username().is_empty()
            && parsed.password().is_none()
            && parsed.query().is_none()
            && parsed.fragment().is_none();
        let loopback = is_loopback(&parsed);
        match parsed.scheme() {
            "https" if bare => {}
            "http" if bare && loopback => {}
            "http" if bare => return Err(ResourceServerError::Clear),
            _ => return Err(ResourceServerError::Issuer),
        }
        // The HTTP client has no crypto provider of its own and uses the process's, even for plain http. If one is
        // installed already, that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .timeout(timeout)
            // Keys and introspection responses must come from the issuer itself, not from a redirect target.
            .redirect(Policy::none());
        if loopback {
            // A proxy from the environment does not lead back to this machine.
            client = client.no_proxy();
        }
        if parsed.scheme() == "http" {
            // There is no certificate to verify, so this also works on a machine without certificates.
            client = client.tls_certs_only([]);
        }
        Ok(Self {
            name: name.into(),
            client: client.build().map_err(ResourceServerError::Client)?,
        })
    }

    /// Returns the name of the issuer, as in its tokens.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Creates a GET request for `path`.
    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.name))
    }

    /// Creates a POST request to `path`.
    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.name))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issuer").field(&self.name).finish()
    }
}

/// Sends the request. Returns the response if its status is 200, otherwise the reason.
pub(super) async fn answer(request: RequestBuilder) -> Result<Response, Unanswered> {
    let response = request.send().await?;
    let status = response.status();
    match status {
        StatusCode::OK => Ok(response),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Err(Unanswered::Status(status))
        }
        _ if status.is_client_error() => Err(Unanswered::Refused(status)),
        _ => Err(Unanswered::Status(status)),
    }
}

/// Reads the body of a response, up to the maximum size.
pub(super) async fn text(mut response: Response) -> Result<String, Unanswered> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Unanswered::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| Unanswered::Unreadable("it is not UTF-8"))
}
