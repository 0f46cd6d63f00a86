//! `/account`: the profile and the sessions of the user.

use actix_session::Session;
use actix_web::{HttpResponse, http::StatusCode, web::Query};
use askama::Template;
use serde::Deserialize;
use skriptoteket_actix::{
    ApiError, Principal, Rejection,
    routes::sessions::{end_own, end_own_others},
};

use super::{
    device,
    form::Submission,
    view::{Frame, Moment, Navigation, View, page, see_other},
};
use crate::sessions::{SessionId, SessionRecord};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    frame: Frame<'a>,
    notice: Option<&'static str>,
    display_name: Option<&'a str>,
    email: Option<&'a str>,
    username: &'a str,
    role: &'static str,
    sessions: Vec<Row>,
    has_others: bool,
}

/// A session of the user.
#[derive(Debug)]
struct Row {
    id: String,
    device: Option<String>,
    user_agent: String,
    network: Option<String>,
    first_seen: Moment,
    last_seen: Moment,
    expires: Moment,
    current: bool,
}

impl Row {
    fn new(session: &SessionRecord, current: &SessionId) -> Self {
        Self {
            id: session.id.to_string(),
            device: device::describe(&session.user_agent),
            user_agent: session.user_agent.clone(),
            network: session.network.map(|it| it.to_string()),
            first_seen: session.created_at.into(),
            last_seen: session.last_seen_at.into(),
            expires: session.expires_at.into(),
            current: session.id == *current,
        }
    }
}

/// The query of `/account`. Unknown values are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    #[serde(default)]
    notice: String,
}

/// `/`: the first page.
pub(super) async fn home(_: Principal) -> HttpResponse {
    see_other("/account")
}

/// Shows the account.
pub(super) async fn show(
    view: View,
    navigation: Navigation,
    principal: Principal,
    session: Session,
    parameters: Option<Query<Parameters>>,
) -> Result<HttpResponse, ApiError> {
    let sessions = view
        .pages
        .login()
        .sessions
        .list_user(principal.user_id)
        .await?;
    let account = view.pages.accounts().find(principal.user_id).await?;
    let Some(account) = account else {
        // The account was deleted, or its database was restored from a backup. A session without an account would lead
        // from here to the login and back.
        end_own(
            view.pages.login(),
            &principal,
            &session,
            principal.id.clone(),
        )
        .await?;
        return Ok(see_other("/login"));
    };
    let profile = &account.user.profile;
    let t = view.texts();
    let notice = parameters.filter(|_| navigation.may_notify());
    let notice = notice.map(|Query(it)| it.notice).unwrap_or_default();
    let mut sessions: Vec<Row> = sessions
        .iter()
        .map(|it| Row::new(it, &principal.id))
        .collect();
    // The current one first, then the newest.
    sessions.sort_by_key(|it| !it.current);
    let shown = AccountPage {
        frame: view.frame(t.account, Some(&principal)),
        notice: match notice.as_str() {
            "session-ended" => Some(t.session_ended),
            "session-gone" => Some(t.session_gone),
            "other-sessions-ended" => Some(t.other_sessions_ended),
            "password-changed" => Some(t.password_changed),
            _ => None,
        },
        display_name: profile.display_name(),
        email: profile.email(),
        username: principal.username.as_str(),
        role: t.role(principal.role),
        has_others: sessions.len() > 1,
        sessions,
    };
    page(StatusCode::OK, &shown)
}

/// Ends one session of the user.
pub(super) async fn end_session(
    view: View,
    session: Session,
    submission: Submission,
) -> Result<HttpResponse, ApiError> {
    let Submission {
        principal,
        mut fields,
    } = submission;
    let id = fields.text("session")?.unwrap_or_default();
    let Ok(id) = id.parse::<SessionId>() else {
        return Ok(see_other("/account?notice=session-gone"));
    };
    let current = id == principal.id;
    match end_own(view.pages.login(), &principal, &session, id).await {
        Ok(()) if current => Ok(see_other("/login?notice=logged-out")),
        Ok(()) => Ok(see_other("/account?notice=session-ended")),
        // The form was submitted twice, or the session has expired.
        Err(ApiError::Rejected(Rejection::NotFound)) => {
            Ok(see_other("/account?notice=session-gone"))
        }
        Err(error) => Err(error),
    }
}

/// Ends all sessions of the user except the one of the request.
pub(super) async fn end_other_sessions(
    view: View,
    submission: Submission,
) -> Result<HttpResponse, ApiError> {
    end_own_others(view.pages.login(), &submission.principal).await?;
    Ok(see_other("/account?notice=other-sessions-ended"))
}
