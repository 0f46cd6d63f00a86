//! What clients ask tokens for, what they get, and why they do not.

use std::time::Duration;

use super::{Allowance, AuthFailure, AuthFailureReason, KeyError, Scope, Service, same_resource};
use crate::error::StoreError;

/// What the tokens of this service say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPolicy {
    /// Who issues them: the origin of the service.
    pub issuer: String,
    /// For whom they may be, never empty; the first for those who do not say.
    pub audiences: Vec<String>,
    /// How long they are valid.
    pub lifetime: Duration,
}

/// What a client asks a token for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// `grant_type`.
    pub grant_type: Option<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `resource` (RFC 8707) or `audience`.
    pub audiences: Vec<String>,
}

/// A token that was issued.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token, for its client alone.
    pub token: secrecy::SecretString,
    /// How long it is valid.
    pub lifetime: Duration,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// What is left of the client's limits, where they could be checked.
    pub allowance: Option<Allowance>,
}

/// Why the authorization server does not do what a client asks (RFC 6749, section 5.2; RFC 8707; RFC 7009).
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The client is not let in.
    #[error(transparent)]
    Client(#[from] AuthFailure),
    /// A parameter is missing or wrong.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// Only `client_credentials` is a grant here.
    #[error("the only grant_type here is client_credentials")]
    UnsupportedGrant,
    /// The client may not have that scope.
    #[error("the client may not ask for that scope")]
    InvalidScope,
    /// What the client asks for does not fit into a token.
    #[error("the token would be too large: ask for fewer scopes or resources")]
    TooLarge,
    /// There are no tokens for that audience.
    #[error("there are no tokens for that resource")]
    InvalidTarget,
    /// The token is another client's.
    #[error("the token was issued to another client")]
    NotYours,
    /// A store failed after the client was let in.
    #[error(transparent)]
    Store(StoreError),
    /// The service failed after the client was let in.
    #[error("the token was not made for a reason of our own")]
    Internal(#[source] crate::error::Cause),
}

/// What fails once the client is in.
impl From<KeyError> for TokenError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::TooLarge => Self::TooLarge,
            other => Self::Internal(other.into()),
        }
    }
}

impl TokenError {
    /// How the authentication of the client came out: it may well have been let in.
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
    /// That it is asked in a way that we know.
    pub(super) fn check_grant(&self) -> Result<(), TokenError> {
        match self.grant_type.as_deref() {
            Some("client_credentials") => Ok(()),
            Some(_) => Err(TokenError::UnsupportedGrant),
            None => Err(TokenError::InvalidRequest("grant_type is missing")),
        }
    }

    /// The scopes that are asked for, each once; all that the service may have where none is asked for.
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

    /// The audiences that are asked for, as the policy writes them, each once, so that there are no more than the policy has; its first where none is
    /// asked for.
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
