//! `/login`, and `/continue` after it.

use actix_session::Session;
use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web::Query,
};
use askama::Template;
use secrecy::SecretString;
use serde::Deserialize;
use skriptoteket_actix::{
    ApiError, Principal, extract::Client, problem::Problem, routes::login::authenticate,
};

use super::{
    form::Fields,
    next::Next,
    view::{Frame, Navigation, View, failed_page, page, see_other},
};
use crate::login::Credentials;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    frame: Frame<'a>,
    notice: Option<&'static str>,
    error: Option<String>,
    is_wrong: bool,
    username: &'a str,
    remember_me: bool,
    next: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "continue.html")]
struct ContinuePage<'a> {
    frame: Frame<'a>,
    next: &'a str,
}

/// The query of `/login` and `/continue`. Unknown values are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    #[serde(default)]
    next: String,
    #[serde(default)]
    notice: String,
}

/// The target if there is no valid `next`.
const HOME: &str = "/account";

/// Shows the form. A user who is logged in is sent on.
pub(super) async fn show(
    view: View,
    navigation: Navigation,
    principal: Option<Principal>,
    parameters: Option<Query<Parameters>>,
) -> Result<HttpResponse, ApiError> {
    let (next, notice) = read(parameters);
    if principal.is_some() {
        return Ok(see_other(&Next::of_page("/continue", next.as_ref())));
    }
    let t = view.texts();
    let notice = match notice.as_str() {
        "logged-out" if navigation.may_notify() => Some(t.logged_out),
        _ => next.as_ref().map(|_| t.not_logged_in),
    };
    let form = LoginPage {
        frame: view.frame(t.log_in, None),
        notice,
        error: None,
        is_wrong: false,
        username: "",
        remember_me: false,
        next: next.as_ref().map(Next::as_str),
    };
    page(StatusCode::OK, &form)
}

/// Logs in. If it fails, the form is shown again with the reason.
pub(super) async fn submit(
    view: View,
    client: Client,
    session: Session,
    mut fields: Fields,
) -> Result<HttpResponse, ApiError> {
    let username = fields.text("username")?.unwrap_or_default();
    let password = fields.secret("password")?;
    let remember_me = fields.text("remember_me")?.is_some();
    let next = fields.text("next")?;
    let next = next.as_deref().and_then(Next::parse);
    let credentials = Credentials {
        username: username.clone(),
        password: password.unwrap_or_else(|| SecretString::from("")),
        remember_me,
    };
    let logged_in = authenticate(view.pages.login(), credentials, client, &session).await;
    let Err(failed) = logged_in else {
        return Ok(see_other(&Next::of_page("/continue", next.as_ref())));
    };
    let problem = failed.problem();
    let Some(error) = explain(&view, &problem) else {
        return Err(failed);
    };
    // After too many attempts, nothing is known to be wrong with what the user has typed.
    let is_wrong = problem.status() == StatusCode::UNAUTHORIZED;
    let form = LoginPage {
        frame: view.frame(view.texts().log_in, None),
        notice: None,
        error: Some(error),
        is_wrong,
        username: &username,
        remember_me,
        next: next.as_ref().map(Next::as_str),
    };
    failed_page(&failed, &form)
}

/// Explains a failure that the user can do something about; `None` for others, which have error pages.
fn explain(view: &View, problem: &Problem) -> Option<String> {
    let t = view.texts();
    match problem.status() {
        StatusCode::UNAUTHORIZED => Some(t.wrong_credentials.to_owned()),
        StatusCode::TOO_MANY_REQUESTS => {
            Some(t.too_many_attempts_for(problem.retry_after().unwrap_or(1)))
        }
        _ => None,
    }
}

/// Sends the browser to `next`. It is a page and not a redirect of the form, because browsers apply the policy
/// `form-action` to all redirects of a form.
pub(super) async fn redirect(
    view: View,
    principal: Principal,
    parameters: Option<Query<Parameters>>,
) -> Result<HttpResponse, ApiError> {
    let (next, _) = read(parameters);
    let next = next.as_ref().map_or(HOME, Next::as_str);
    let shown = ContinuePage {
        frame: view.frame(view.texts().continuing, Some(&principal)),
        next,
    };
    let mut response = page(StatusCode::OK, &shown)?;
    let refresh = header::HeaderValue::from_str(&format!("0; url={next}"));
    let refresh = refresh.map_err(|error| ApiError::Internal(error.into()))?;
    response.headers_mut().insert(header::REFRESH, refresh);
    Ok(response)
}

fn read(parameters: Option<Query<Parameters>>) -> (Option<Next>, String) {
    let Some(Query(Parameters { next, notice })) = parameters else {
        return (None, String::new());
    };
    (Next::parse(&next), notice)
}
