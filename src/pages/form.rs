//! Forms that pages submit.

use actix_web::{FromRequest, HttpRequest, dev::Payload, web::Data};
use futures_util::future::LocalBoxFuture;
use secrecy::{ExposeSecret, SecretString};
use skriptoteket_actix::{
    ApiError, Principal, Rejection,
    extract::{announced, body_timeout, collect, is_plain},
};

use super::Pages;
use crate::http::urlencoded;

/// Maximum size of a form, in bytes.
const LIMIT: usize = 64 * 1024;

/// Maximum number of fields of a form.
const MAX_FIELDS: usize = 64;

/// The name of the field with the CSRF token.
pub(super) const CSRF_TOKEN: &str = "csrf_token";

/// The fields of a form. Values may be secrets, and are wiped when they are dropped.
#[derive(Debug)]
pub(super) struct Fields(Vec<(SecretString, SecretString)>);

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, Rejection> {
        let mut fields = Vec::new();
        for pair in urlencoded::pairs(body) {
            fields
                .push(pair.ok_or_else(|| unreadable("the form is not UTF-8 in percent-encoding"))?);
            if fields.len() > MAX_FIELDS {
                return Err(unreadable("the form has more than 64 fields"));
            }
        }
        Ok(Self(fields))
    }

    /// Removes a field and returns its value; `None` if it is missing or empty.
    ///
    /// # Errors
    ///
    /// 400 if the form has the field more than once.
    pub(super) fn secret(&mut self, name: &str) -> Result<Option<SecretString>, Rejection> {
        let mut found = None;
        let mut twice = false;
        self.0.retain_mut(|(field, value)| {
            if field.expose_secret() != name {
                return true;
            }
            twice |= found.replace(std::mem::take(value)).is_some();
            false
        });
        if twice {
            return Err(unreadable("the form has a field twice"));
        }
        Ok(found.filter(|it: &SecretString| !it.expose_secret().is_empty()))
    }

    /// The same, for a value that is no secret.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Rejection> {
        let value = self.secret(name)?;
        Ok(value.map(|it| it.expose_secret().to_owned()))
    }
}

fn unreadable(why: &str) -> Rejection {
    Rejection::Parameter(why.to_owned())
}

impl FromRequest for Fields {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_form = is_plain(request, "application/x-www-form-urlencoded");
        let announced = announced(request, LIMIT);
        let timeout = body_timeout(request);
        let payload = payload.take();
        Box::pin(async move {
            if !is_form {
                return Err(Rejection::NotForm.into());
            }
            let body = collect(payload, announced?, LIMIT, timeout).await?;
            Ok(Self::parse(&body)?)
        })
    }
}

/// A form of the user who is logged in. Its CSRF token was checked.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) principal: Principal,
    pub(super) fields: Fields,
}

impl FromRequest for Submission {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let principal = Principal::from_request(request, payload).into_inner();
        let pages = request.app_data::<Data<Pages>>().cloned();
        let fields = Fields::from_request(request, payload);
        Box::pin(async move {
            let principal = principal?;
            let mut fields = fields.await?;
            let token = fields.text(CSRF_TOKEN)?.unwrap_or_default();
            let accepted = pages.is_some_and(|pages| pages.csrf().accepts(&token, &principal.id));
            if !accepted {
                return Err(Rejection::OutdatedForm.into());
            }
            Ok(Self { principal, fields })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_once_and_an_empty_one_is_missing() {
        let mut fields = Fields::parse(b"username=ada&password=a+b%26c&next=&x").unwrap();
        assert_eq!(fields.text("username").unwrap().as_deref(), Some("ada"));
        let password = fields.secret("password").unwrap().unwrap();
        assert_eq!(password.expose_secret(), "a b&c");
        assert_eq!(fields.text("next").unwrap(), None);
        assert_eq!(fields.text("username").unwrap(), None);
        let shown = format!("{:?}", Fields::parse(b"password=secret").unwrap());
        assert!(!shown.contains("secret\""), "{shown}");
    }

    #[test]
    fn a_form_that_no_page_sends_is_rejected() {
        let mut twice = Fields::parse(b"a=1&a=2").unwrap();
        assert!(twice.text("a").is_err());
        for bad in [&b"a=%"[..], b"a=\xff", &b"a=1&".repeat(10_000)] {
            assert!(Fields::parse(bad).is_err());
        }
    }
}
