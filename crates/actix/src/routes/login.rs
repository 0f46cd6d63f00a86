//! `/api/login` and `/api/logout`.

use actix_session::Session;
use actix_web::{HttpRequest, HttpResponse, cookie::Cookie, web::Data};
use secrecy::SecretString;
use serde::Deserialize;
#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use super::LoginApi;
use crate::{
    error::ApiError,
    extract::{Body, Client, JsonBody, SameSite, secret},
    request_context::RequestContext,
    routes::session::{LoggedInView, UserView},
    session_store,
};
use skriptoteket_login::login::{Caller, Credentials, LoggedIn};

/// A user name and a password.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Credentials))]
pub struct LoginBody {
    username: String,
    #[serde(deserialize_with = "secret")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    password: SecretString,
    /// True for a session that outlives the browser's session.
    #[serde(default)]
    remember_me: bool,
}

impl Body for LoginBody {
    const EXPECTED: &'static str =
        r#"{"username": string, "password": string, "remember_me": boolean (optional)}"#;
}

/// Log in
///
/// An unknown user, a wrong password and a disabled account get the same response after the same delay. A session that
/// the client had before ends.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/api/login", operation_id = "logIn", tag = "session", request_body = LoginBody,
    responses(
        (status = 200, description = "Logged in; the session cookie is set", body = LoggedInView,
            headers(("Set-Cookie" = String, description = "The session cookie"))),
        (status = 401, description = "The user name or the password is wrong"),
        (status = 429, description = "Too many attempts from this address or for this account"),
    ),
))]
pub async fn log_in(
    api: Data<LoginApi>,
    client: Client,
    session: Session,
    JsonBody(body): JsonBody<LoginBody>,
) -> Result<HttpResponse, ApiError> {
    let credentials = Credentials {
        username: body.username,
        password: body.password,
        remember_me: body.remember_me,
    };
    let logged_in = authenticate(&api, credentials, client, &session).await?;
    let (user, record) = (&logged_in.user, &logged_in.session.record);
    let view = UserView {
        id: user.id,
        username: user.username.as_str(),
        role: user.role,
    };
    Ok(HttpResponse::Ok().json(LoggedInView::new(view, record)))
}

/// Logs a user in and gives the browser the cookie of the new session. The sessions that the client had before end.
///
/// # Errors
///
/// [`ApiError`] if the login failed; nothing has changed.
pub async fn authenticate(
    api: &LoginApi,
    credentials: Credentials,
    client: Client,
    session: &Session,
) -> Result<LoggedIn, ApiError> {
    let remember_me = credentials.remember_me;
    let caller = Caller {
        address: client.address,
        cross_site: client.cross_site,
        user_agent: client.user_agent,
        session: RequestContext::session_before(),
    };
    let logged_in = api.login.login(credentials, caller).await?;
    // A planted cookie that precedes the new one must not revive its session.
    if let Err(error) = session_store::end_others(&api.sessions).await {
        tracing::warn!(
            error = error.explanation(),
            "an additional session presented by the client was not ended"
        );
    }
    let record = &logged_in.session.record;
    let age = record.ends_at.since(record.created_at);
    let age = remember_me.then_some(age);
    session_store::issue(session, logged_in.session.key.clone(), age, &api.cookie)
        .map_err(|error| ApiError::Internal(error.into()))?;
    Ok(logged_in)
}

/// Log out
///
/// Ends the session and removes the cookie. If the client presents several sessions, all of them end. Repeated logouts
/// are not an error.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/api/logout", operation_id = "logOut", tag = "session", security((), ("session" = [])),
    responses((status = 204, description = "Logged out",
        headers(("Clear-Site-Data" = String, description = "Over https: the browser clears its cache and the stored data of this origin")))),
))]
pub async fn log_out(
    api: Data<LoginApi>,
    _: SameSite,
    session: Session,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::NoContent();
    if let Some(removal) = end_session(&api, &session, &request).await? {
        response.cookie(removal);
    }
    Ok(response.finish())
}

/// Ends the session of the request, and the others that the client presents. Returns the cookie that the response has
/// to set, if the session middleware does not remove it.
///
/// # Errors
///
/// [`ApiError::Store`] if the session store does not respond.
pub async fn end_session(
    api: &LoginApi,
    session: &Session,
    request: &HttpRequest,
) -> Result<Option<Cookie<'static>>, ApiError> {
    let mut removal = None;
    if RequestContext::session().is_some() {
        // The session middleware ends the session and removes its cookie.
        session.purge();
    } else {
        session_store::end_others(&api.sessions).await?;
        if request.cookie(api.cookie.name()).is_some() {
            removal = Some(api.cookie.removal());
        }
    }
    RequestContext::current(|context| context.logged_out.set(true));
    Ok(removal)
}
