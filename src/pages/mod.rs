//! Web pages: log in, log out, the account of the user.
//!
//! The pages are rendered on the server and work without JavaScript. They call the same use cases as the API, so a login
//! through the page is counted once, like one through the API. They have their own security headers, and errors are
//! pages, too.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the route table, [`Pages`] |
//! | `view` | what every page has in common: the frame, the headers, the language of the request |
//! | `errors` | error pages |
//! | `form`, `csrf` | submitted forms, and their tokens |
//! | `next` | the target after a login |
//! | `login`, `logout`, `account`, `password` | one file per page |
//! | `device` | a short description of a user agent |
//! | `branding`, `color` | product name, logo, colours; style sheet and script |
//! | `texts`, `language` | the texts in every language |

mod account;
mod branding;
mod color;
mod csrf;
mod device;
mod errors;
mod form;
mod language;
mod login;
mod logout;
mod next;
mod password;
mod texts;
mod view;

use std::sync::Arc;

use actix_web::{
    http::Method,
    web::{Data, ServiceConfig, to},
};
use secrecy::{ExposeSecret, SecretString};
use skriptoteket_actix::{
    ErrorPages,
    routes::{LoginApi, Row, register, register_with_session},
};

pub use branding::{Branding, LogoError, PageSettings};
pub use color::{Color, DARK, InvalidColor, LIGHT, MIN_CONTRAST};
pub use language::Language;

use crate::{accounts::AccountRepository, audit::Kind, http::audited};
use csrf::CsrfKey;
use errors::Errors;

/// The routes of pages: method, pattern, handler. Rows with the same pattern are adjacent.
const ROUTES: &[Row] = &[
    Row::new(Method::GET, "/login", || to(login::show))
        .of_page()
        .of_login(),
    Row::new(Method::POST, "/login", || to(login::submit))
        .of_page()
        .of_login(),
    Row::new(Method::GET, "/continue", || to(login::redirect)).of_page(),
    Row::new(Method::GET, "/logout", || to(logout::show))
        .of_page()
        .of_logout(),
    Row::new(Method::POST, "/logout", || to(logout::submit))
        .of_page()
        .of_logout(),
    Row::new(Method::GET, "/", || to(account::home)).of_page(),
    Row::new(Method::GET, "/account", || to(account::show)).of_page(),
    Row::new(Method::POST, "/account/sessions/end", || {
        to(account::end_session)
    })
    .of_page(),
    Row::new(Method::POST, "/account/sessions/end-others", || {
        to(account::end_other_sessions)
    })
    .of_page(),
    Row::new(Method::GET, "/account/password", || to(password::show)).of_page(),
    Row::new(Method::POST, "/account/password", || {
        audited::route(Kind::PasswordChange, to(password::submit))
    })
    .of_page(),
];

/// The files of the pages. They have no session.
const FILES: &[Row] = &[Row::new(Method::GET, "/assets/{file}", || to(branding::asset)).of_page()];

/// The pages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pages(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    branding: Arc<Branding>,
    csrf: CsrfKey,
    login: LoginApi,
    accounts: Arc<dyn AccountRepository>,
}

impl Pages {
    /// Creates the pages for the users of `login`, whose accounts are `accounts`. `cookie_key` is the key material of the
    /// session cookie.
    #[must_use]
    pub fn new(
        branding: Branding,
        cookie_key: &SecretString,
        login: LoginApi,
        accounts: Arc<dyn AccountRepository>,
    ) -> Self {
        Self(Arc::new(Inner {
            branding: Arc::new(branding),
            csrf: CsrfKey::derive(cookie_key.expose_secret().as_bytes()),
            login,
            accounts,
        }))
    }

    /// Registers every page.
    pub fn routes(&self, config: &mut ServiceConfig) {
        config.app_data(Data::new(self.clone()));
        register_with_session(config, &self.0.login, ROUTES);
        register(config, FILES);
    }

    /// Returns the pages that browsers get instead of problem documents.
    #[must_use]
    pub fn error_pages(&self) -> Arc<dyn ErrorPages> {
        Arc::new(Errors::new(Arc::clone(&self.0.branding)))
    }

    fn branding(&self) -> &Branding {
        &self.0.branding
    }

    fn csrf(&self) -> &CsrfKey {
        &self.0.csrf
    }

    fn login(&self) -> &LoginApi {
        &self.0.login
    }

    fn accounts(&self) -> &dyn AccountRepository {
        &*self.0.accounts
    }
}
