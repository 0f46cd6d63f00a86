//! The only adapter between [`Sessions`] and actix-session.
//!
//! actix-session encrypts the cookie and carries the application's state; [`Sessions`] decides who is logged in and
//! until when. Only a login and a password change start a session, so this store never creates one. A session that was
//! promoted gets a new key at its next request, in this module. actix-session does not know about it:
//! [`RequestLayer`](super::RequestLayer) adds the cookie to the response, even to an error response and after a panic.
//!
//! | actix-session calls | action |
//! |---|---|
//! | `load` | [`Sessions::check`], which also extends the idle expiry, and [`Sessions::renew`]; the record goes to the [`RequestContext`]. A login continues without a session, and so does a page of an application until it takes a `Principal`. If the request has several session cookies, the first live session counts |
//! | `save` | returns the key that a login or a password change left in the [`RequestContext`]; without one, nothing is stored and no cookie is set |
//! | `update` | [`Sessions::update`]; a session that has ended in the meantime stays ended, and no cookie is set |
//! | `update_ttl` | nothing: `load` has done it |
//! | `delete` | [`Sessions::end`] as a logout, for every session that was presented, unless the handler has ended the session itself |

use std::{collections::HashMap, rc::Rc, time::Duration};

use actix_session::{
    Session, SessionInsertError, SessionMiddleware,
    config::{BrowserSession, CookieContentSecurity},
    storage::{LoadError, SaveError, SessionKey as CookieValue, SessionStore, UpdateError},
};
use actix_web::cookie::{SameSite, time::Duration as CookieDuration};

use super::{
    cookie::CookieSettings,
    request_context::{CookieFate, Purpose, RenewedCookie, RequestContext},
};
use skriptoteket_core::error::StoreError;
use skriptoteket_sessions::{EndReason, Renewed, SessionId, SessionKey, SessionRecord, Sessions};

/// The application's state in the form of actix-session.
type State = HashMap<String, String>;

/// An entry that makes actix-session save a session without state of its own; it is not stored.
const NEW: &str = "skriptoteket.new";

/// Creates the session middleware; see [`session_middleware`].
#[must_use]
pub fn session_middleware(
    sessions: Sessions,
    cookie: &CookieSettings,
) -> SessionMiddleware<SessionAdapter> {
    let adapter = SessionAdapter {
        sessions,
        cookie: cookie.clone(),
    };
    SessionMiddleware::builder(adapter, cookie.key())
        .cookie_name(cookie.name().to_owned())
        .cookie_secure(cookie.secure())
        .cookie_http_only(true)
        .cookie_same_site(SameSite::Lax)
        .cookie_path(String::from("/"))
        .cookie_domain(None)
        .cookie_content_security(CookieContentSecurity::Private)
        // A browser session cookie. `CookieFate` sets the age of a remembered one.
        .session_lifecycle(BrowserSession::default())
        .build()
}

/// Adapts [`Sessions`] to actix-session. See the module's table.
#[derive(Clone, Debug)]
pub struct SessionAdapter {
    sessions: Sessions,
    cookie: CookieSettings,
}

/// Assigns the session that a login has started to this browser; with `max_age` its cookie outlives the browser's
/// session.
///
/// The state of a previous session is dropped, because it may belong to another user.
pub(super) fn issue(
    session: &Session,
    key: SessionKey,
    max_age: Option<Duration>,
    cookie: &CookieSettings,
) -> Result<(), SessionInsertError> {
    session.clear();
    session.insert(NEW, true)?;
    hand_out(session, key, max_age, cookie);
    Ok(())
}

/// Gives the browser the key of the session that has replaced its own. The state is kept: the caller has copied it into
/// the new session.
pub(super) fn hand_out(
    session: &Session,
    key: SessionKey,
    max_age: Option<Duration>,
    cookie: &CookieSettings,
) {
    session.renew();
    RequestContext::take_renewed();
    RequestContext::current(|context| {
        context.issued.replace(Some(key));
        context.cookie.set(max_age.map(|max_age| CookieFate {
            name: cookie.name(),
            max_age: Some(max_age),
        }));
    });
}

/// Removes the cookie of a session that the handler has ended.
pub fn dismiss(session: &Session) {
    session.purge();
    RequestContext::take_renewed();
    RequestContext::current(|context| {
        context.ended.set(true);
        context.logged_out.set(true);
    });
}

/// Ends the sessions that the request presents in addition to the live one, as a logout.
///
/// Otherwise a cookie before or after the live one would keep its session alive although the client has been logged
/// out, or replace the session that a login has started. Sessions beyond [`MOST_CHECKED`] are not ended: a head has
/// room for hundreds, and one request would cause as many writes. No browser presents that many.
pub(super) async fn end_others(sessions: &Sessions) -> Result<(), StoreError> {
    for id in RequestContext::other_sessions()
        .into_iter()
        .take(MOST_CHECKED)
    {
        sessions.end(id, EndReason::Logout).await?;
    }
    Ok(())
}

/// Records why the store failed. actix-session responds with 500; the layer around it finds the reason here and
/// responds with 503.
fn report(error: StoreError) -> Unanswered {
    RequestContext::current(|context| context.fault.replace(Some(error)));
    Unanswered
}

/// The store did not respond; the [`RequestContext`] holds the reason.
#[derive(Debug, thiserror::Error)]
#[error("the session store failed")]
struct Unanswered;

/// Returns the session id of a key, or `None` for a key that this store did not create.
fn id_of(key: &CookieValue) -> Option<SessionId> {
    SessionId::of_key(key.as_ref()).ok()
}

/// Returns whether the request is a login. A login needs no session, and is attempted and counted even if the store is
/// unavailable.
fn logs_in() -> bool {
    purpose() == Some(Purpose::Login)
}

/// Returns whether the request may be for a page of an application, which need not depend on the session. A logout does:
/// without the session, it would end nothing and remove the cookie.
fn is_for_pages() -> bool {
    let pages = RequestContext::current(|context| context.pages.get());
    pages == Some(true) && purpose() == Some(Purpose::Other)
}

/// Returns whether the session may get a new key: not if it is about to end anyway, nor if nothing would add the key to
/// the response.
fn may_renew() -> bool {
    RequestContext::is_under_way() && !matches!(purpose(), Some(Purpose::Login | Purpose::Logout))
}

fn purpose() -> Option<Purpose> {
    RequestContext::current(|context| context.purpose.get())
}

/// How many presented sessions one request checks in the store. Browsers present one, or two if paths or domains
/// differ.
const MOST_CHECKED: usize = 8;

/// Returns the sessions that may belong to this request, the most likely first.
fn candidates(key: &CookieValue) -> Vec<SessionId> {
    let presented = RequestContext::current(|it| it.presented.borrow().clone()).unwrap_or_default();
    let mut all = if presented.is_empty() {
        Vec::from_iter(id_of(key))
    } else {
        presented
    };
    all.truncate(MOST_CHECKED);
    all
}

/// Returns the session for this key: the live one, if it was presented together with the key's own.
fn meant_by(key: &CookieValue) -> Option<SessionId> {
    let live = RequestContext::session().map(|session| session.id.clone());
    live.or_else(|| id_of(key))
}

impl SessionAdapter {
    /// Returns the first live session; `None` if there is none, or if a login continues without knowing.
    async fn first_live(
        &self,
        candidates: Vec<SessionId>,
    ) -> Result<Option<SessionRecord>, StoreError> {
        for id in candidates {
            match self.live(&id).await {
                Ok(Some(record)) => return Ok(Some(record)),
                Ok(None) => {}
                Err(_) if logs_in() => {
                    RequestContext::current(|context| context.unchecked.replace(Some(id)));
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Returns the live session of this key. A session that was promoted under the key gets a new key first; without
    /// one it is not used, because the key may have been copied while it had fewer privileges.
    async fn live(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        let Some(record) = self.sessions.check(id).await? else {
            return Ok(None);
        };
        if !record.has_outgrown_its_key() || !may_renew() {
            return Ok(Some(record));
        }
        let Some(renewed) = self.sessions.renew(&record).await? else {
            return Ok(None);
        };
        let Renewed {
            key,
            record,
            max_age,
            unclaimed,
        } = renewed;
        let Some(header) = self.cookie.carrying(&key, max_age) else {
            return Ok(None);
        };
        RequestContext::current(|context| {
            let cookie = RenewedCookie { header, unclaimed };
            context.renewed.replace(Some(cookie));
        });
        Ok(Some(record))
    }

    /// Leaves the client's cookie unchanged.
    fn keep_cookie(&self) {
        RequestContext::current(|context| {
            context.cookie.set(Some(CookieFate {
                name: self.cookie.name(),
                max_age: None,
            }));
        });
    }
}

impl SessionStore for SessionAdapter {
    async fn load(&self, key: &CookieValue) -> Result<Option<State>, LoadError> {
        let mut record = match self.first_live(candidates(key)).await {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(error) if is_for_pages() => {
                RequestContext::current(|context| context.unknown.replace(Some(error)));
                return Ok(None);
            }
            Err(error) => return Err(LoadError::Other(report(error).into())),
        };
        let state = std::mem::take(&mut record.state).into_iter().collect();
        RequestContext::current(|context| context.session.replace(Some(Rc::new(record))));
        Ok(Some(state))
    }

    async fn save(&self, state: State, _: &CookieDuration) -> Result<CookieValue, SaveError> {
        let issued = RequestContext::current(|context| context.issued.take()).flatten();
        let value = if let Some(key) = issued {
            key.expose().to_owned()
        } else {
            tracing::debug!(
                entries = state.len(),
                "the client is not logged in and has no session; its state is dropped"
            );
            self.keep_cookie();
            String::new()
        };
        CookieValue::try_from(value).map_err(|error| SaveError::Other(error.into()))
    }

    async fn update(
        &self,
        key: CookieValue,
        state: State,
        _: &CookieDuration,
    ) -> Result<CookieValue, UpdateError> {
        self.keep_cookie();
        if let Some(id) = meant_by(&key) {
            let updated = self.sessions.update(id, state.into_iter().collect()).await;
            let live = updated.map_err(|error| UpdateError::Other(report(error).into()))?;
            if !live {
                tracing::debug!("the session ended while the request ran; its state is dropped");
            }
        }
        Ok(key)
    }

    async fn update_ttl(&self, _: &CookieValue, _: &CookieDuration) -> Result<(), anyhow::Error> {
        Ok(())
    }

    async fn delete(&self, key: &CookieValue) -> Result<(), anyhow::Error> {
        let done = RequestContext::current(|it| it.ended.get() || it.issued.borrow().is_some());
        if let (Some(id), false) = (meant_by(key), done.unwrap_or(false)) {
            let ended = self.sessions.end(id, EndReason::Logout).await;
            ended.map_err(report)?;
            RequestContext::take_renewed();
            end_others(&self.sessions).await.map_err(report)?;
        }
        Ok(())
    }
}
