//! State of the request in progress, shared by the layers.
//!
//! actix-session's store sees neither the request nor the response, so what it finds (the session, a failing store) and
//! what it receives (the key of a new session) cannot travel with them. A task-local carries them instead: it costs no
//! allocation and no look-up, and it ends with the request.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix_web::http::header::HeaderValue;

use super::trust_boundary::TrustBoundary;
use skriptoteket_core::error::StoreError;
use skriptoteket_sessions::{SessionId, SessionKey, SessionRecord, Unclaimed};

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// State of the request in progress.
#[derive(Debug)]
pub struct RequestContext {
    /// Decides which peers are trusted about the origin of the request.
    pub(super) trust_boundary: Arc<TrustBoundary>,
    /// The pattern that the router matched.
    pub(super) route: Cell<Option<&'static str>>,
    /// The purpose of the matched route.
    pub(super) purpose: Cell<Purpose>,
    /// The route belongs to this crate.
    pub(super) own: Cell<bool>,
    /// The route is that of a page for browsers.
    pub(super) page: Cell<bool>,
    /// The live session of the cookie.
    pub(super) session: RefCell<Option<Rc<SessionRecord>>>,
    /// The sessions that the request presents, in the order of its cookies. Empty for an ordinary request, whose only
    /// cookie is read by the session middleware.
    pub(super) presented: RefCell<Vec<SessionId>>,
    /// The session named by the cookie, if the store did not report whether it is live.
    pub(super) unchecked: RefCell<Option<SessionId>>,
    /// The key of a session started by this request, for its cookie.
    pub(super) issued: RefCell<Option<SessionKey>>,
    /// The cookie with the new key of the live session. `RequestLayer` adds it to the response, whatever its status.
    pub(super) renewed: RefCell<Option<RenewedCookie>>,
    /// The session has ended already, so there is nothing left to delete.
    pub(super) ended: Cell<bool>,
    /// The client has logged out; the response asks the browser to clear the data of the service.
    pub(super) logged_out: Cell<bool>,
    /// How to change the session cookie that actix-session sets.
    pub(super) cookie: Cell<Option<CookieFate>>,
    /// Why a store did not respond to the session middleware.
    pub(super) fault: RefCell<Option<StoreError>>,
    /// The application has pages of its own around the routes of this crate.
    pub(super) pages: Cell<bool>,
    /// Why the session is unknown, in an application whose pages do not all need it.
    pub(super) unknown: RefCell<Option<StoreError>>,
}

/// The purpose of a route, as far as the session middleware has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A login.
    Login,
    /// A logout.
    Logout,
    /// Anything else.
    Other,
}

/// The paths of login and logout. Cheap to clone; the clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoginPaths(Arc<[OnceLock<&'static str>; 4]>);

impl LoginPaths {
    /// Adds a prefix of the paths. Further prefixes than there is room for are ignored: their logins need a session store
    /// that responds.
    #[cfg(feature = "builder")]
    pub(crate) fn add(&self, prefix: &'static str) {
        let _ = self
            .0
            .iter()
            .find(|it| *it.get_or_init(|| prefix) == prefix);
    }

    /// Returns the purpose of a request with this path.
    pub(crate) fn purpose(&self, path: &str) -> Purpose {
        let prefixes = self.0.iter().map_while(OnceLock::get);
        for rest in prefixes.filter_map(|prefix| path.strip_prefix(prefix)) {
            match rest {
                "/login" => return Purpose::Login,
                "/logout" => return Purpose::Logout,
                _ => {}
            }
        }
        Purpose::Other
    }
}

/// A `Set-Cookie` with the new key of a session. The session ends if the cookie does not get into a response.
#[derive(Debug)]
pub(super) struct RenewedCookie {
    pub(super) header: HeaderValue,
    pub(super) unclaimed: Unclaimed,
}

/// How to change the `Set-Cookie` of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CookieFate {
    pub(super) name: &'static str,
    /// How long the browser keeps the cookie; `None` removes it from the response.
    pub(super) max_age: Option<Duration>,
}

impl RequestContext {
    /// Creates the context of a new request.
    pub(super) const fn new(trust_boundary: Arc<TrustBoundary>) -> Self {
        Self {
            trust_boundary,
            route: Cell::new(None),
            purpose: Cell::new(Purpose::Other),
            own: Cell::new(false),
            page: Cell::new(false),
            session: RefCell::new(None),
            presented: RefCell::new(Vec::new()),
            unchecked: RefCell::new(None),
            issued: RefCell::new(None),
            renewed: RefCell::new(None),
            ended: Cell::new(false),
            logged_out: Cell::new(false),
            cookie: Cell::new(None),
            fault: RefCell::new(None),
            pages: Cell::new(false),
            unknown: RefCell::new(None),
        }
    }

    /// Runs `work`, which creates the response to this request.
    pub(super) fn during<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        // Not an `async fn`, which would reserve space for its argument beside the future that it moves it into, and
        // `work` is large.
        CURRENT.scope(self, work)
    }

    /// Reads the current context; `None` outside a [`RequestLayer`](super::RequestLayer).
    pub(super) fn current<T>(read: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(read).ok()
    }

    /// Returns whether there is a context: false outside a [`RequestLayer`](super::RequestLayer).
    pub(super) fn is_under_way() -> bool {
        Self::current(|_| ()).is_some()
    }

    /// Returns the live session of the current request.
    #[must_use]
    pub fn session() -> Option<Rc<SessionRecord>> {
        Self::current(|it| it.session.borrow().clone()).flatten()
    }

    /// Returns the cookie with the new key, once, and thereby claims the key.
    pub(super) fn take_renewed() -> Option<HeaderValue> {
        let renewed = Self::current(|it| it.renewed.take()).flatten()?;
        Some(renewed.unclaimed.claim(renewed.header))
    }

    /// Returns the sessions that the request presents in addition to the live one.
    pub(super) fn other_sessions() -> Vec<SessionId> {
        let live = Self::session();
        let mut others = Self::current(|it| it.presented.borrow().clone()).unwrap_or_default();
        others.retain(|id| live.as_ref().is_none_or(|live| live.id != *id));
        others
    }

    /// Returns the session that the client had before this request: live, or not known to have ended.
    pub(super) fn session_before() -> Option<SessionId> {
        let live = Self::session().map(|session| session.id.clone());
        live.or_else(|| Self::current(|it| it.unchecked.take()).flatten())
    }
}
