//! An issuer of tokens as somebody else sees it: its name, and the questions that are put to it over HTTP.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect::Policy};
use url::Url;

use super::ResourceServerError;
use crate::{error::StoreError, network::is_loopback, services::AuthFailure};

/// The largest answer that is read, in bytes. Answers of an issuer have some hundred.
const MAX_ANSWER: usize = 64 * 1024;

/// The issuer. Cheap to clone.
#[derive(Clone)]
pub(super) struct Issuer {
    /// Its name, as it stands in the tokens.
    name: Arc<str>,
    client: Client,
}

/// Why there is no answer. The text quotes nothing that was sent, and the cause neither.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// It could not be reached, or not in time.
    #[error("the issuer cannot be reached")]
    Unreachable(#[source] Arc<reqwest::Error>),
    /// It answers, but cannot do what it is asked at the moment.
    #[error("the issuer answers {0}")]
    Status(StatusCode),
    /// It does not do what we ask of it.
    #[error("the issuer refuses to answer us, with {0}")]
    Refused(StatusCode),
    /// The answer is too large.
    #[error("the issuer's answer has more than {MAX_ANSWER} bytes")]
    TooLarge,
    /// The answer is none to what was asked.
    #[error("the issuer's answer cannot be read: {0}")]
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
            // Trying again does not help: somebody has to change something.
            Unanswered::Refused(_) | Unanswered::TooLarge | Unanswered::Unreadable(_) => {
                Self::Internal(why.into())
            }
        }
    }
}

impl Issuer {
    /// The issuer `url`, which has `timeout` for each whole answer.
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
        // The HTTP client has no provider of its own and asks for the process's, even for plain http. Where there is one
        // already it is as good.
        let _ = rustls::crypto::keys::default_provider().install_default();
        let mut client = Client::builder()
            .timeout(timeout)
            // Keys and introspection responses come from the issuer and from nowhere that it points to.
            .redirect(Policy::none());
        if loopback {
            // A proxy of the environment does not lead back to this machine.
            client = client.no_proxy();
        }
        if parsed.scheme() == "http" {
            // Nothing to trust, so a machine without certificates will do.
            client = client.tls_certs_only([]);
        }
        Ok(Self {
            name: name.into(),
            client: client.build().map_err(ResourceServerError::Client)?,
        })
    }

    /// Its name, as it stands in the tokens.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A GET of `path`.
    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.name))
    }

    /// A POST to `path`.
    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.name))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Issuer").field(&self.name).finish()
    }
}

/// The answer if it is a 200, else why not.
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

/// The body of an answer, read no further than it may be long.
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
