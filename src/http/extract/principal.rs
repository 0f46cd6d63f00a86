//! Whose session it is.

use std::{
    future::{Ready, ready},
    ops::Deref,
    rc::Rc,
};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::SameSite;
use crate::{
    accounts::Role,
    http::{error::ApiError, rejection::Rejection, request_context::RequestContext},
    sessions::SessionRecord,
};

/// Someone who is logged in: the live session of the request, without its application state (which actix-session has).
///
/// Taken from what the session middleware has found already, at no cost. A request that changes something and comes
/// from another site has no principal: whoever acts for somebody else needs no check of his own.
///
/// Rejected with 403 (cross-site), or 401 where there is no live session.
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
        let session = RequestContext::session().ok_or(Rejection::NoSession)?;
        Ok(Self(session))
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

/// A principal who is an administrator or more; 403 otherwise.
#[derive(Clone, Debug)]
pub(in crate::http) struct AdminPrincipal(pub(in crate::http) Principal);

impl FromRequest for AdminPrincipal {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Principal::with_role(request, Role::Admin).map(Self))
    }
}

/// A principal who is a superuser; 403 otherwise.
#[derive(Clone, Debug)]
pub(in crate::http) struct SuperPrincipal;

impl FromRequest for SuperPrincipal {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Principal::with_role(request, Role::Superuser).map(|_| Self))
    }
}
