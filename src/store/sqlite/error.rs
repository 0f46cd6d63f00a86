//! Maps SQLite's errors to those of this crate; the only place that does.

use std::path::Path;

use sqlx::migrate::MigrateError;

use super::{super::OpenError, migrations::MIGRATOR};
use crate::{
    accounts::AccountError,
    error::{Explained, StoreError},
    services::RegisterError,
};

/// Primary result codes, <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const AUTH: i32 = 23;
    pub(super) const NOTADB: i32 = 26;
}

/// An error of SQLite, to be converted into that of a repository.
pub(super) struct Failure(pub(super) sqlx::Error);

impl From<Failure> for StoreError {
    fn from(Failure(error): Failure) -> Self {
        match error {
            sqlx::Error::Database(error) if error.is_unique_violation() => Self::Conflict,
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Corrupt("column"),
            other => Self::Unavailable(match explanation(&other) {
                Some(text) => {
                    let source = Some(other.into());
                    Explained { text, source }.into()
                }
                None => other.into(),
            }),
        }
    }
}

/// Explains an error of SQLite, if its code is one that operators encounter.
fn explanation(error: &sqlx::Error) -> Option<&'static str> {
    Some(match primary_code(error)? {
        code::FULL => "the disk is full",
        code::IOERR => "the disk cannot be read or written",
        code::READONLY => "the database file cannot be written",
        code::BUSY => "the database is locked by another process",
        code::CANTOPEN => "the database file cannot be opened",
        code::CORRUPT | code::NOTADB => "the database file is damaged",
        _ => return None,
    })
}

impl From<Failure> for AccountError {
    fn from(error: Failure) -> Self {
        Self::Store(error.into())
    }
}

impl From<Failure> for RegisterError {
    fn from(error: Failure) -> Self {
        Self::Store(error.into())
    }
}

/// The low byte of SQLite's code, without the extension.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Why the file at `path` could not be opened.
pub(super) fn opening(path: &Path, source: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    if matches!(source, sqlx::Error::PoolTimedOut) {
        return OpenError::Locked { path };
    }
    match primary_code(&source) {
        Some(code::NOTADB) => OpenError::NotADatabase { path },
        Some(code::CORRUPT) => OpenError::Damaged { path, source },
        Some(code::BUSY) => OpenError::Locked { path },
        Some(code::PERM | code::READONLY | code::CANTOPEN | code::AUTH) => {
            OpenError::NoAccess { path, source }
        }
        _ => OpenError::Failed { path, source },
    }
}

/// Why the tables of the file at `path` could not be migrated.
pub(super) fn migration(path: &Path, source: MigrateError) -> OpenError {
    match source {
        MigrateError::VersionMissing(found) => OpenError::NewerSchema {
            path: path.to_owned(),
            found,
            known: MIGRATOR.iter().map(|it| it.version).max().unwrap_or(0),
        },
        MigrateError::Execute(error) => opening(path, error),
        source => OpenError::Schema {
            path: path.to_owned(),
            source,
        },
    }
}
