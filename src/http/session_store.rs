//! THE adapter between [`Sessions`] and actix-session.
//!
//! actix-session encrypts the cookie and carries the application's state; who is logged in, and until when, is decided
//! by [`Sessions`]. A session begins at login and at a password change and nowhere else, so this store never makes one. A session
//! that was promoted gets a new key at its next request, here; actix-session does not know: the cookie is put into the answer by
//! [`RequestLayer`](super::RequestLayer), also into one that is an error or comes after a panic.
//!
//! | actix-session says | here |
//! |---|---|
//! | `load` | [`Sessions::check`], which also moves the idle expiry, and [`Sessions::renew`]; the record goes to the [`RequestContext`]. A login goes on without. Where several cookies of ours came, the first live session counts |
//! | `save` | hands out the key that a login or a password change left in the [`RequestContext`]; without one, nothing is kept and no cookie is set |
//! | `update` | [`Sessions::update`]; a session that has ended in the meantime stays ended, and no cookie is set |
//! | `update_ttl` | nothing: `load` has done it |
//! | `delete` | [`Sessions::end`] as a logout, of every session that was presented, unless the handler has ended the session itself |

use std::{collections::HashMap, rc::Rc, time::Duration};

use actix_session::{
    Session, SessionInsertError, SessionMiddleware,
    config::{BrowserSession, CookieContentSecurity},
    storage::{LoadError, SaveError, SessionKey as CookieValue, SessionStore, UpdateError},
};
use actix_web::cookie::{SameSite, time::Duration as CookieDuration};

use super::{
    LOG_IN, LOG_OUT,
    cookie::CookieSettings,
    request_context::{CookieFate, RenewedCookie, RequestContext},
};
use crate::{
    error::StoreError,
    sessions::{EndReason, Renewed, SessionId, SessionKey, SessionRecord, Sessions},
};

/// The application's state as actix-session has it.
type State = HashMap<String, String>;

/// An entry that makes actix-session save a session that has no state of its own; it is not kept.
const NEW: &str = "skriptoteket.new";

/// The session middleware; see [`Api::session_middleware`](super::Api::session_middleware).
pub(super) fn session_middleware(
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
        // A cookie of the browser's session. One that is to be remembered gets its age in `CookieFate`.
        .session_lifecycle(BrowserSession::default())
        .build()
}

/// [`Sessions`] as actix-session wants them. See the module's table.
#[derive(Clone, Debug)]
pub struct SessionAdapter {
    sessions: Sessions,
    cookie: CookieSettings,
}

/// Makes the session that a login has started the one of this browser; `max_age` keeps its cookie beyond the browser's.
///
/// The state of a session before it is gone: it may have been somebody else's.
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

/// Gives the browser the key of the session that has taken the place of its own. The state goes on: the caller has put it into
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

/// Takes the cookie of a session away that the handler has ended.
pub(super) fn dismiss(session: &Session) {
    session.purge();
    RequestContext::take_renewed();
    RequestContext::current(|context| {
        context.ended.set(true);
        context.logged_out.set(true);
    });
}

/// Ends the sessions that the request presents beside the live one, as a logout.
///
/// A cookie that stands before the live one, or behind it, would otherwise let its session live on when the client has
/// been told that nobody is logged in, or take the place of the one that a login has started. Those behind [`MOST_CHECKED`] are
/// left: a head has room for hundreds, and one request would write as often. No browser presents so many.
pub(super) async fn end_others(sessions: &Sessions) -> Result<(), StoreError> {
    for id in RequestContext::other_sessions()
        .into_iter()
        .take(MOST_CHECKED)
    {
        sessions.end(id, EndReason::Logout).await?;
    }
    Ok(())
}

/// Where the store fails, actix-session answers 500: the layer around it finds the reason here and says 503.
fn report(error: StoreError) -> Unanswered {
    RequestContext::current(|context| context.fault.replace(Some(error)));
    Unanswered
}

/// The store did not answer; why is in the [`RequestContext`].
#[derive(Debug, thiserror::Error)]
#[error("the session store failed")]
struct Unanswered;

/// Whoever reads a key that this store did not make, makes nothing of it.
fn id_of(key: &CookieValue) -> Option<SessionId> {
    SessionId::of_key(key.as_ref()).ok()
}

/// Whether the request is a login. That needs no session, and is to be tried and counted also while the store is away.
fn logs_in() -> bool {
    route() == Some(LOG_IN)
}

/// Whether the session may be given a new key: not where it is about to end anyway, nor where nobody would put the key into the
/// answer.
fn may_renew() -> bool {
    RequestContext::is_under_way() && !matches!(route(), Some(LOG_IN | LOG_OUT))
}

fn route() -> Option<&'static str> {
    RequestContext::current(|context| context.route.get()).flatten()
}

/// How many presented sessions one request asks the store about. Browsers present one, two where paths or domains differ.
const MOST_CHECKED: usize = 8;

/// The sessions that may be the one of this request, the likeliest first.
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

/// The session that is meant by this key: the live one, where it came beside the key's.
fn meant_by(key: &CookieValue) -> Option<SessionId> {
    let live = RequestContext::session().map(|session| session.id.clone());
    live.or_else(|| id_of(key))
}

impl SessionAdapter {
    /// The first live one of these sessions; `None` where there is none, or where a login goes on without knowing.
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

    /// The live session of this key. One that was promoted under the key gets another one first; without that it is not used:
    /// a copy of the key may have been made when it was worth less.
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

    /// Leaves the cookie that the client has as it is.
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
        let record = self.first_live(candidates(key)).await;
        let record = record.map_err(|error| LoadError::Other(report(error).into()))?;
        let Some(mut record) = record else {
            return Ok(None);
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
                "a visitor who is not logged in has no session; the state is dropped"
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
