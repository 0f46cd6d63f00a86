//! One middleware for an application.

use actix_session::SessionMiddleware;
use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};
use futures_util::future::LocalBoxFuture;

use crate::{middleware::RequestLayer, session_store::SessionAdapter};

/// The middleware of an application, from [`Skriptoteket::sessions`](super::Skriptoteket::sessions): it finds the
/// session of each request, records requests in metrics, and turns errors and panics into problem documents.
///
/// Create one in the factory of the application, so that each worker has its own.
#[derive(Clone)]
pub struct SessionLayer {
    requests: RequestLayer,
    sessions: SessionMiddleware<SessionAdapter>,
}

impl std::fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionLayer")
    }
}

impl SessionLayer {
    pub(super) const fn new(
        requests: RequestLayer,
        sessions: SessionMiddleware<SessionAdapter>,
    ) -> Self {
        Self { requests, sessions }
    }
}

type InSession<S> = <SessionMiddleware<SessionAdapter> as Transform<S, ServiceRequest>>::Transform;

impl<S, B> Transform<S, ServiceRequest> for SessionLayer
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type InitError = ();
    type Transform = <RequestLayer as Transform<InSession<S>, ServiceRequest>>::Transform;
    type Future = LocalBoxFuture<'static, Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let inner = self.sessions.new_transform(service);
        let requests = self.requests.clone();
        Box::pin(async move {
            let inner = inner.await?;
            requests.new_transform(inner).await
        })
    }
}
