//! The client, as far as its data can be trusted.

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

use crate::{error::ApiError, rejection::Rejection, request_context::RequestContext};
use skriptoteket_login::guard::client_address;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request.
#[derive(Debug)]
pub struct Client {
    /// The client's address, behind trusted proxies.
    pub address: IpAddr,
    /// Whether a browser reports that another site sent the request.
    pub cross_site: bool,
    /// The `User-Agent` header; empty if there is none.
    pub user_agent: String,
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
                // Data from the client may not be text, but what our proxy has appended is valid anyway.
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

/// Proof that no browser reports another site as the sender of this request, if its method is unsafe or it asks for another
/// protocol.
#[derive(Clone, Copy, Debug)]
pub struct SameSite;

impl SameSite {
    /// Rejects a state-changing request from another site.
    ///
    /// # Errors
    ///
    /// 403 if another site sent the request.
    pub fn check(request: &HttpRequest) -> Result<Self, ApiError> {
        // Browsers send cookies with the handshake of a WebSocket whatever page opens it.
        let upgrades = request.headers().contains_key(header::UPGRADE);
        if request.method().is_safe() && !upgrades {
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

/// Returns the error of an application that uses these extractors without the layer that they require.
pub(super) fn no_layer() -> ApiError {
    ApiError::Internal("the application is not wrapped in a RequestLayer".into())
}
