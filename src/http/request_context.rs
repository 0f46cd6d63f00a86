//! One request while it is answered: what the layers tell each other about it.
//!
//! actix-session's store sees neither the request nor the response, so what it finds (the session, a failing store) and
//! what it is given (the key of a new session) cannot travel with them. A task-local does: it costs no allocation and no
//! look-up, and it goes when the request goes.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::http::header::HeaderValue;

use super::trust_boundary::TrustBoundary;
use crate::{
    error::StoreError,
    sessions::{SessionId, SessionKey, SessionRecord, Unclaimed},
};

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// What is known of the request that is being answered.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// Whose word is taken for where it comes from.
    pub(super) trust_boundary: Arc<TrustBoundary>,
    /// The pattern that the router matched.
    pub(super) route: Cell<Option<&'static str>>,
    /// The live session of the cookie.
    pub(super) session: RefCell<Option<Rc<SessionRecord>>>,
    /// The sessions that the request presents, in the order of its cookies; empty for the usual request, whose one cookie
    /// the session middleware reads.
    pub(super) presented: RefCell<Vec<SessionId>>,
    /// The session that the cookie names, where the store did not say whether it is live.
    pub(super) unchecked: RefCell<Option<SessionId>>,
    /// The key of a session that was started for this request and that its cookie is to carry.
    pub(super) issued: RefCell<Option<SessionKey>>,
    /// The cookie with the new key of the live session; `RequestLayer` puts it into the answer, whatever that is.
    pub(super) renewed: RefCell<Option<RenewedCookie>>,
    /// The session has been ended already: there is nothing left to delete.
    pub(super) ended: Cell<bool>,
    /// The client has logged out: its browser is told to forget what the service has left there.
    pub(super) logged_out: Cell<bool>,
    /// What is to become of the session cookie that actix-session sets.
    pub(super) cookie: Cell<Option<CookieFate>>,
    /// Why a store did not answer the session middleware.
    pub(super) fault: RefCell<Option<StoreError>>,
}

/// A `Set-Cookie` with the new key of a session, which ends if that does not get into an answer.
#[derive(Debug)]
pub(super) struct RenewedCookie {
    pub(super) header: HeaderValue,
    pub(super) unclaimed: Unclaimed,
}

/// What is to become of the `Set-Cookie` of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CookieFate {
    pub(super) name: &'static str,
    /// How long the browser keeps it; `None` takes it out of the answer.
    pub(super) max_age: Option<Duration>,
}

impl RequestContext {
    /// A context that has just begun.
    pub(super) const fn new(trust_boundary: Arc<TrustBoundary>) -> Self {
        Self {
            trust_boundary,
            route: Cell::new(None),
            session: RefCell::new(None),
            presented: RefCell::new(Vec::new()),
            unchecked: RefCell::new(None),
            issued: RefCell::new(None),
            renewed: RefCell::new(None),
            ended: Cell::new(false),
            logged_out: Cell::new(false),
            cookie: Cell::new(None),
            fault: RefCell::new(None),
        }
    }

    /// Runs `work` as the answer to this request.
    pub(super) fn during<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        // Not an `async fn`: that keeps room for its argument beside the future that it moves it into, and the work is large.
        CURRENT.scope(self, work)
    }

    /// Reads the context under way; `None` outside a [`RequestLayer`](super::RequestLayer).
    pub(super) fn current<T>(read: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(read).ok()
    }

    /// False outside a [`RequestLayer`](super::RequestLayer).
    pub(super) fn is_under_way() -> bool {
        Self::current(|_| ()).is_some()
    }

    /// The live session of the request under way.
    pub(super) fn session() -> Option<Rc<SessionRecord>> {
        Self::current(|it| it.session.borrow().clone()).flatten()
    }

    /// The cookie with the new key, which is claimed with it; once.
    pub(super) fn take_renewed() -> Option<HeaderValue> {
        let renewed = Self::current(|it| it.renewed.take()).flatten()?;
        Some(renewed.unclaimed.claim(renewed.header))
    }

    /// The sessions that the request presents beside the live one.
    pub(super) fn other_sessions() -> Vec<SessionId> {
        let live = Self::session();
        let mut others = Self::current(|it| it.presented.borrow().clone()).unwrap_or_default();
        others.retain(|id| live.as_ref().is_none_or(|live| live.id != *id));
        others
    }

    /// The session that the client had before this request: live, or not known to be over.
    pub(super) fn session_before() -> Option<SessionId> {
        let live = Self::session().map(|session| session.id.clone());
        live.or_else(|| Self::current(|it| it.unchecked.take()).flatten())
    }
}
