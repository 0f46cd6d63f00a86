//! The user of a session.

use std::{
    future::{Ready, ready},
    ops::Deref,
    rc::Rc,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::SameSite;
use crate::{error::ApiError, rejection::Rejection, request_context::RequestContext};
use skriptoteket_login::accounts::Role;
use skriptoteket_sessions::SessionRecord;

/// The user who is logged in: the live session of the request, without its application state (which actix-session has).
///
/// Taken from the result of the session middleware, at no cost. A request from another site with an unsafe method, or for a
/// WebSocket, has no principal, so handlers that act on behalf of a user need no check of their own. A handler of `GET`
/// must not change state.
///
/// Rejected with 403 (cross-site), with 401 if there is no live session, or with 503 if the session store does not
/// respond.
#[derive(Clone, Debug)]
pub struct Principal(Rc<SessionRecord>);

impl Deref for Principal {
    type Target = SessionRecord;

    fn deref(&self) -> &SessionRecord {
        &self.0
    }
}

impl Principal {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        SameSite::check(request)?;
        if let Some(session) = RequestContext::session() {
            return Ok(Self(session));
        }
        let unknown = RequestContext::current(|context| context.unknown.take()).flatten();
        Err(unknown.map_or_else(|| Rejection::NoSession.into(), ApiError::Store))
    }

    fn with_role(request: &HttpRequest, least: Role) -> Result<Self, ApiError> {
        let principal = Self::of(request)?;
        if principal.role < least {
            return Err(Rejection::RoleTooLow(least).into());
        }
        Ok(principal)
    }
}

impl FromRequest for Principal {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// A principal with the role of an administrator or a higher one; 403 otherwise.
#[derive(Clone, Debug)]
pub struct AdminPrincipal(pub Principal);

impl FromRequest for AdminPrincipal {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Principal::with_role(request, Role::Admin).map(Self))
    }
}

/// A principal who is a superuser; 403 otherwise.
#[derive(Clone, Debug)]
pub struct SuperPrincipal;

impl FromRequest for SuperPrincipal {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Principal::with_role(request, Role::Superuser).map(|_| Self))
    }
}
