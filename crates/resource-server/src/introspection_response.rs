//! Introspection responses of an issuer (RFC 7662, section 2.2).

use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;

use super::issuer::Unanswered;
use skriptoteket_core::clock::Timestamp;
use skriptoteket_services::{Claims, Scope, ServiceId};

/// The introspection response for a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum IntrospectionResponse {
    /// The token is valid; these are its claims.
    Active(Arc<Claims>),
    /// The token is not valid, or no longer valid.
    Inactive,
}

#[derive(Deserialize)]
struct Wire {
    active: bool,
}

/// `aud`: one string or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct ActiveWire {
    iss: String,
    client_id: ServiceId,
    aud: Audiences,
    iat: i64,
    exp: i64,
    jti: Uuid,
    scope: Option<String>,
    /// A private claim. Only the issuer needs it.
    #[serde(default)]
    reg: Uuid,
}

impl IntrospectionResponse {
    /// Parses a response. A response with `active` but without service, audience or expiry is invalid.
    pub(super) fn read(json: &str) -> Result<Self, Unanswered> {
        const UNREADABLE: Unanswered =
            Unanswered::Unreadable("it is not an introspection response");
        let Wire { active } = serde_json::from_str(json).map_err(|_| UNREADABLE)?;
        if !active {
            return Ok(Self::Inactive);
        }
        let wire: ActiveWire = serde_json::from_str(json).map_err(|_| UNREADABLE)?;
        let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
        let scopes = wire.scope.as_deref().unwrap_or_default().split(' ');
        let scopes = scopes.filter(|it| !it.is_empty()).map(str::parse::<Scope>);
        Ok(Self::Active(Arc::new(Claims {
            issuer: wire.iss,
            service: wire.client_id,
            registration: wire.reg,
            audiences: match wire.aud {
                Audiences::One(one) => vec![one],
                Audiences::Several(several) => several,
            },
            issued_at: at(wire.iat),
            expires_at: at(wire.exp),
            token: wire.jti,
            scopes: scopes.collect::<Result<_, _>>().map_err(|_| UNREADABLE)?,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: &str = r#"{"active":true,"iss":"https://login.example.org","client_id":"orders","sub":"orders",
        "aud":"https://api.example.org","iat":1,"exp":601,"jti":"00000000-0000-4000-8000-000000000001",
        "scope":"read write","token_type":"Bearer"}"#;

    #[test]
    fn an_active_token_says_who_for_whom_and_until_when() {
        let Ok(IntrospectionResponse::Active(claims)) = IntrospectionResponse::read(ACTIVE) else {
            panic!("it is active");
        };
        assert_eq!(claims.service.as_str(), "orders");
        assert_eq!(claims.audiences, ["https://api.example.org"]);
        assert_eq!(claims.expires_at.as_millis(), 601_000);
        let scopes: Vec<&str> = claims.scopes.iter().map(Scope::as_str).collect();
        assert_eq!(scopes, ["read", "write"]);
        let bare = r#"{"active":false}"#;
        assert_eq!(
            IntrospectionResponse::read(bare).unwrap(),
            IntrospectionResponse::Inactive
        );
    }

    #[test]
    fn an_answer_that_is_none_is_never_a_yes() {
        for name in ["iss", "client_id", "aud", "iat", "exp", "jti", "active"] {
            let other = ACTIVE.replace(&format!("\"{name}\""), "\"x\"");
            assert!(IntrospectionResponse::read(&other).is_err(), "{name}");
        }
        for bad in [
            "",
            "true",
            "[]",
            "{}",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
        ] {
            assert!(IntrospectionResponse::read(bad).is_err(), "{bad}");
        }
    }
}
