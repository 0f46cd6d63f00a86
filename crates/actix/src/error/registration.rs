//! Errors of registrations and password changes.

use actix_web::http::StatusCode;
use skriptoteket_login::{
    accounts::{password::WeakPassword, registration::RegisterError},
    login::PasswordChangeError,
};

use super::{INVALID_VALUE, internal, store, too_many_attempts, unavailable};
use crate::problem::{Kind, Problem};

const WRONG_PASSWORD: Kind = Kind::new(
    "/problems/wrong-password",
    "The current password is wrong",
    StatusCode::FORBIDDEN,
);
const WEAK_PASSWORD: Kind = Kind::new(
    "/problems/weak-password",
    "The new password is too weak",
    StatusCode::UNPROCESSABLE_ENTITY,
);
const NAME_TAKEN: Kind = Kind::new(
    "/problems/name-taken",
    "The user name is taken",
    StatusCode::CONFLICT,
);

pub(super) fn password_change(error: &PasswordChangeError) -> Problem {
    match error {
        PasswordChangeError::WrongPassword => WRONG_PASSWORD.into(),
        PasswordChangeError::Weak(why) => weak(why),
        PasswordChangeError::RateLimited { retry_after } => too_many_attempts(*retry_after),
        PasswordChangeError::Overloaded => unavailable(),
        PasswordChangeError::Store(error) => store(error),
        PasswordChangeError::Internal(_) => internal(),
    }
}

pub(super) fn register(error: &RegisterError) -> Problem {
    match error {
        RegisterError::Name(why) => Problem::from(INVALID_VALUE).with_detail(why.to_string()),
        RegisterError::Weak(why) => weak(why),
        RegisterError::AlreadyExists => NAME_TAKEN.into(),
        RegisterError::NotFound => Kind::blank(StatusCode::NOT_FOUND).into(),
        RegisterError::Overloaded => unavailable(),
        RegisterError::Store(error) => store(error),
        RegisterError::Hash(_) => internal(),
    }
}

fn weak(why: &WeakPassword) -> Problem {
    Problem::from(WEAK_PASSWORD).with_detail(why.to_string())
}
