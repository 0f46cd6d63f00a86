//! Who the client is, as far as it can be believed.

use std::{
    borrow::Cow,
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr},
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderName},
};

use crate::{
    guard::client_address,
    http::{error::ApiError, rejection::Rejection, request_context::RequestContext},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request.
#[derive(Debug)]
pub(in crate::http) struct Client {
    /// Its address, behind trusted proxies.
    pub(in crate::http) address: IpAddr,
    /// A browser says that another site sent the request.
    pub(in crate::http) cross_site: bool,
    /// What it says it is; empty where it says nothing.
    pub(in crate::http) user_agent: String,
}

impl FromRequest for Client {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let client = RequestContext::current(|context| {
            let trust_boundary = &context.trust_boundary;
            let peer = request.peer_addr().map(|peer| peer.ip());
            let forwarded: Vec<Cow<'_, str>> = headers
                .get_all(FORWARDED_FOR)
                // What the client wrote need not be text; what our proxy added to it counts all the same.
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            let user_agent = headers.get(header::USER_AGENT);
            Self {
                address: client_address(
                    peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
                    forwarded.iter().map(AsRef::as_ref),
                    trust_boundary.trusted_proxies(),
                ),
                cross_site: trust_boundary.is_cross_site(headers),
                user_agent: user_agent
                    .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                    .unwrap_or_default(),
            }
        });
        ready(client.ok_or_else(no_layer))
    }
}

/// Proof that no browser says of this request that another site sent it, if it is one that changes something.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct SameSite;

impl SameSite {
    /// Refuses a request that changes something and comes from another site.
    pub(super) fn check(request: &HttpRequest) -> Result<Self, ApiError> {
        if request.method().is_safe() {
            return Ok(Self);
        }
        match RequestContext::current(|it| it.trust_boundary.is_cross_site(request.headers())) {
            Some(false) => Ok(Self),
            Some(true) => Err(Rejection::CrossSite.into()),
            None => Err(no_layer()),
        }
    }
}

impl FromRequest for SameSite {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::check(request))
    }
}

/// An application that uses these extractors without the layer that they rely on.
pub(super) fn no_layer() -> ApiError {
    ApiError::Internal("the application is not wrapped in a RequestLayer".into())
}
