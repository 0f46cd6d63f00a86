//! `/logout`.

use actix_session::Session;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;
use skriptoteket_actix::{
    ApiError, Principal, Rejection, extract::SameSite, routes::login::end_session,
};

use super::{
    form::{CSRF_TOKEN, Fields},
    view::{Frame, View, page, see_other, user},
};

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage<'a> {
    frame: Frame<'a>,
}

/// Asks for confirmation.
pub(super) async fn show(
    view: View,
    principal: Option<Principal>,
) -> Result<HttpResponse, ApiError> {
    let frame = view.frame(view.texts().log_out, user(principal.as_ref()));
    page(StatusCode::OK, &LogoutPage { frame })
}

/// Ends the session. A client without a live session gets the same response.
pub(super) async fn submit(
    view: View,
    _: SameSite,
    principal: Option<Principal>,
    session: Session,
    request: HttpRequest,
    mut fields: Fields,
) -> Result<HttpResponse, ApiError> {
    let token = fields.text(CSRF_TOKEN)?.unwrap_or_default();
    if let Some(principal) = principal
        && !view.pages.csrf().accepts(&token, &principal.id)
    {
        return Err(Rejection::OutdatedForm.into());
    }
    let removal = end_session(view.pages.login(), &session, &request).await?;
    let mut response = see_other("/login?notice=logged-out");
    if let Some(removal) = removal {
        response
            .add_cookie(&removal)
            .map_err(|error| ApiError::Internal(error.into()))?;
    }
    Ok(response)
}
