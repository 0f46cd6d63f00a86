//! Problem details: error responses according to RFC 9457.

use std::{borrow::Cow, time::Duration};

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use serde::Serialize;
#[cfg(feature = "openapi")]
use utoipa::ToSchema;

#[cfg(feature = "services")]
use super::rate_limit;
#[cfg(feature = "services")]
use skriptoteket_services::Allowance;

/// The media type of every error response.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The `type`: a stable identifier. `about:blank` if the status is sufficient.
    pub id: &'static str,
    /// The `title`: one constant line.
    pub title: &'static str,
    /// The status.
    pub status: StatusCode,
}

impl Kind {
    /// Creates a kind.
    #[must_use]
    pub const fn new(id: &'static str, title: &'static str, status: StatusCode) -> Self {
        Self { id, title, status }
    }

    /// Creates a kind that adds nothing to its status.
    #[must_use]
    pub fn blank(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self::new("about:blank", title, status)
    }
}

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    detail: Option<Cow<'static, str>>,
    retry_after: Option<u64>,
    allow: Option<HeaderValue>,
    challenge: Option<HeaderValue>,
    #[cfg(feature = "services")]
    allowance: Option<Allowance>,
}

/// The body of an error response (RFC 9457).
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Problem))]
pub struct ProblemBody<'a> {
    /// The kind of problem: a stable identifier that does not have to resolve.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(example = "/problems/invalid-credentials"))]
    kind: &'a str,
    /// Description of the kind.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "The user name or the password is wrong")
    )]
    title: &'a str,
    /// The HTTP status.
    #[cfg_attr(
        feature = "openapi",
        schema(example = 401, minimum = 400, maximum = 599)
    )]
    status: u16,
    /// What is wrong with this request, if there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    detail: Option<&'a str>,
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            detail: None,
            retry_after: None,
            allow: None,
            challenge: None,
            #[cfg(feature = "services")]
            allowance: None,
        }
    }
}

impl Problem {
    /// Adds what is wrong with this request in particular.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds `Retry-After`. Rounded up to whole seconds, at least one, because an earlier retry would fail.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(retry_after(wait));
        self
    }

    /// Adds the allowed methods.
    #[must_use]
    pub fn with_allow(mut self, allow: Option<HeaderValue>) -> Self {
        self.allow = allow;
        self
    }

    /// Adds the challenge of a scheme other than the session.
    #[must_use]
    pub fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// Adds the remaining limits of the service.
    #[cfg(feature = "services")]
    #[must_use]
    pub const fn with_allowance(mut self, allowance: Allowance) -> Self {
        self.allowance = Some(allowance);
        self
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.kind.status
    }

    /// Returns the stable identifier of the kind.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.kind.id
    }

    /// Returns the seconds after which the client may try again.
    #[must_use]
    pub const fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// Returns the response. The problem is among its extensions, for a layer that shows it in another form.
    pub fn response(&self) -> HttpResponse {
        let body = ProblemBody {
            kind: self.kind.id,
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            detail: self.detail.as_deref(),
        };
        let mut response = HttpResponse::build(self.kind.status);
        response.insert_header((header::CONTENT_TYPE, MEDIA_TYPE));
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.clone()));
        }
        if let Some(challenge) = &self.challenge {
            response.insert_header((header::WWW_AUTHENTICATE, challenge.clone()));
        } else if self.kind.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 requires a challenge. Browsers do not know this scheme, so they open no dialog.
            response.insert_header((header::WWW_AUTHENTICATE, r#"Session realm="skriptoteket""#));
        }
        // Consists of texts and numbers, so this cannot fail; even with an empty body, the status would be correct.
        let mut response = response.body(serde_json::to_vec(&body).unwrap_or_default());
        #[cfg(feature = "services")]
        if let Some(allowance) = &self.allowance {
            rate_limit::tell(response.headers_mut(), allowance);
        }
        response.extensions_mut().insert(self.clone());
        response
    }
}

/// Returns the seconds of `Retry-After`: rounded up, at least one.
#[must_use]
pub fn retry_after(wait: Duration) -> u64 {
    let rounded = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    rounded.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds_and_never_zero() {
        let kind = Kind::blank(StatusCode::TOO_MANY_REQUESTS);
        let header = |millis| {
            let problem = Problem::from(kind).with_retry_after(Duration::from_millis(millis));
            let response = problem.response();
            response
                .headers()
                .get(header::RETRY_AFTER)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(header(0), "1");
        assert_eq!(header(1), "1");
        assert_eq!(header(1000), "1");
        assert_eq!(header(1001), "2");
        assert_eq!(header(29_500), "30");
    }
}
