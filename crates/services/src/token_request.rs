//! Token requests, issued tokens, and token errors.

use std::time::Duration;

use super::{Allowance, AuthFailure, AuthFailureReason, KeyError, Scope, Service, same_resource};
use skriptoteket_core::error::StoreError;

/// The content of issued tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPolicy {
    /// The issuer: the origin of the service.
    pub issuer: String,
    /// The audiences that may be requested, never empty; the first is the default.
    pub audiences: Vec<String>,
    /// How long tokens are valid.
    pub lifetime: Duration,
}

/// A token request of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// `grant_type`.
    pub grant_type: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `resource` (RFC 8707) or `audience`.
    pub audiences: Vec<String>,
}

/// An issued token.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token, for its client only.
    pub token: secrecy::SecretString,
    /// How long it is valid.
    pub lifetime: Duration,
    /// The scopes of the token.
    pub scopes: Vec<Scope>,
    /// What is left of the client's limits, if they could be checked.
    pub allowance: Option<Allowance>,
}

/// Why the authorization server rejects a request (RFC 6749, section 5.2; RFC 8707; RFC 7009).
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The client is not authenticated.
    #[error(transparent)]
    Client(#[from] AuthFailure),
    /// A parameter is missing or wrong.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The grant type is not `client_credentials`.
    #[error("the only supported grant_type is client_credentials")]
    UnsupportedGrant,
    /// The client may not use that scope.
    #[error("the client may not request that scope")]
    InvalidScope,
    /// The requested scopes and resources do not fit into a token.
    #[error("the token would be too large: request fewer scopes or resources")]
    TooLarge,
    /// Tokens are not issued for that audience.
    #[error("no tokens are issued for that resource")]
    InvalidTarget,
    /// The token was issued to another client.
    #[error("the token was issued to another client")]
    NotYours,
    /// A store failed after the client was authenticated.
    #[error(transparent)]
    Store(StoreError),
    /// An internal error occurred after the client was authenticated.
    #[error("the token was not issued because of an internal error")]
    Internal(#[source] skriptoteket_core::error::Cause),
}

/// Errors after the client was authenticated.
impl From<KeyError> for TokenError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::TooLarge => Self::TooLarge,
            other => Self::Internal(other.into()),
        }
    }
}

impl TokenError {
    /// Returns the result of the client's authentication, which may have succeeded.
    pub(super) fn authentication(&self) -> Result<(), AuthFailureReason> {
        match self {
            Self::Client(failure) => Err(failure.reason()),
            Self::InvalidRequest(_)
            | Self::UnsupportedGrant
            | Self::InvalidScope
            | Self::TooLarge
            | Self::InvalidTarget
            | Self::NotYours
            | Self::Store(_)
            | Self::Internal(_) => Ok(()),
        }
    }
}

impl TokenRequest {
    /// Checks that the grant type is supported.
    pub(super) fn check_grant(&self) -> Result<(), TokenError> {
        match self.grant_type.as_deref() {
            Some("client_credentials") => Ok(()),
            Some(_) => Err(TokenError::UnsupportedGrant),
            None => Err(TokenError::InvalidRequest("grant_type is missing")),
        }
    }

    /// Returns the requested scopes, each once; all scopes of the service if none is requested.
    pub(super) fn scopes(&self, service: &Service) -> Result<Vec<Scope>, TokenError> {
        let Some(asked) = self.scope.as_deref().filter(|it| !it.is_empty()) else {
            return Ok(service.scopes.clone());
        };
        let mut scopes = Vec::new();
        for scope in asked.split(' ') {
            let known = service.scopes.iter().find(|it| it.as_str() == scope);
            scopes.push(known.ok_or(TokenError::InvalidScope)?.clone());
        }
        scopes.sort_unstable();
        scopes.dedup();
        Ok(scopes)
    }

    /// Returns the requested audiences, each once and as the policy writes them, so there are at most as many as in the
    /// policy; the policy's first if none is requested.
    pub(super) fn audiences(&self, policy: &TokenPolicy) -> Result<Vec<String>, TokenError> {
        let mut audiences = Vec::new();
        for asked in &self.audiences {
            let known = policy.audiences.iter().find(|it| same_resource(it, asked));
            let known = known.ok_or(TokenError::InvalidTarget)?;
            if !audiences.contains(known) {
                audiences.push(known.clone());
            }
        }
        if audiences.is_empty() {
            audiences.extend(policy.audiences.first().cloned());
        }
        Ok(audiences)
    }
}
