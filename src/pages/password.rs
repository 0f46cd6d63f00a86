//! `/account/password`.

use actix_session::Session;
use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;
use secrecy::ExposeSecret;
use skriptoteket_actix::{
    ApiError, Principal, Rejection, problem::retry_after as retry_after_seconds,
    routes::password::replace,
};

use super::{
    form::Submission,
    texts::Texts,
    view::{Frame, View, failed_page, page, see_other},
};
use crate::{accounts::password::WeakPassword, login::PasswordChangeError};

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage<'a> {
    frame: Frame<'a>,
    username: &'a str,
    error: Option<String>,
    /// The field with the error.
    field: Option<Field>,
}

/// A field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Current,
    New,
    Repeated,
}

/// Shows the form.
pub(super) async fn show(view: View, principal: Principal) -> Result<HttpResponse, ApiError> {
    page(StatusCode::OK, &content(&view, &principal, None))
}

/// Changes the password. If it fails, the form is shown again with the reason.
pub(super) async fn submit(
    view: View,
    session: Session,
    submission: Submission,
) -> Result<HttpResponse, ApiError> {
    let Submission {
        principal,
        mut fields,
    } = submission;
    let t = view.texts();
    let current = fields.secret("current_password")?;
    let new = fields.secret("new_password")?;
    let repeated = fields.secret("repeated_password")?;
    let refuse = |text: &str, field| {
        let shown = content(&view, &principal, Some((text.to_owned(), Some(field))));
        let rejected = Rejection::Value(String::from("a password"));
        failed_page(&rejected.into(), &shown)
    };
    let (Some(current), Some(new), Some(repeated)) = (current, new, repeated) else {
        return refuse(t.missing, Field::Current);
    };
    if new.expose_secret() != repeated.expose_secret() {
        return refuse(t.passwords_differ, Field::Repeated);
    }
    match replace(view.pages.login(), &principal, &session, current, new).await {
        Ok(()) => Ok(see_other("/account?notice=password-changed")),
        Err(error) => match explain(t, &error) {
            Some((text, field)) => {
                let shown = content(&view, &principal, Some((text, field)));
                failed_page(&error, &shown)
            }
            None => Err(error),
        },
    }
}

fn content<'a>(
    view: &'a View,
    principal: &'a Principal,
    error: Option<(String, Option<Field>)>,
) -> PasswordPage<'a> {
    let (error, field) = error.map_or((None, None), |(text, field)| (Some(text), field));
    PasswordPage {
        frame: view.frame(view.texts().change_password, Some(principal)),
        username: principal.username.as_str(),
        error,
        field,
    }
}

/// Explains a failure that the user can do something about, and returns the field that it is about. `None` for others,
/// which have error pages.
fn explain(t: &Texts, error: &ApiError) -> Option<(String, Option<Field>)> {
    let ApiError::PasswordChange(error) = error else {
        return None;
    };
    let (text, field) = match error {
        PasswordChangeError::WrongPassword => (t.wrong_password, Field::Current),
        PasswordChangeError::Weak(WeakPassword::TooShort) => (t.too_short, Field::New),
        PasswordChangeError::Weak(WeakPassword::TooLong) => (t.too_long, Field::New),
        PasswordChangeError::Weak(WeakPassword::Guessable(_)) => (t.too_easy, Field::New),
        PasswordChangeError::RateLimited { retry_after } => {
            let seconds = retry_after_seconds(*retry_after);
            return Some((t.too_many_attempts_for(seconds), None));
        }
        _ => return None,
    };
    Some((text.to_owned(), Some(field)))
}
