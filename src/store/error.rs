//! Why a store cannot be opened.

use std::{io, path::PathBuf};

use skriptoteket_redis::{EraseError, RedisFault};

use crate::error::StoreError;

/// Why a store could not be opened. The text says what is wrong, where, and how to correct it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file does not exist, and was not to be created.
    #[error("there is no database {}; name the one of your service in `data_dir`, or start with `skriptoteket user add` or `skriptoteket service register`", .path.display())]
    Missing {
        /// The path of the file.
        path: PathBuf,
    },
    /// The directory of the file is missing and cannot be created.
    #[error("the data directory {} cannot be created; set `data_dir` to one that this user may write to", .path.display())]
    Directory {
        /// The path of the directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file is missing and cannot be created.
    #[error("the database {} cannot be created; this user must be able to write to its directory", .path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file exists and cannot be opened for writing.
    #[error("the database {} cannot be opened; this user must be able to read and write it and its directory", .path.display())]
    NoAccess {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The file is not an SQLite database.
    #[error("{} is not an SQLite database; move it away, or name another file in `database_url`", .path.display())]
    NotADatabase {
        /// The path of the file.
        path: PathBuf,
    },
    /// The database is damaged.
    #[error("the database {} is damaged; restore it from a backup", .path.display())]
    Damaged {
        /// The path of the file.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: sqlx::Error,
    },
    /// Another process locked the file for the whole store timeout.
    #[error("the database {} is locked by another process; stop that process, or try again", .path.display())]
    Locked {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file was written by a newer release.
    #[error("the database {} has schema {found} and this release supports {known}; start the release that wrote it, or a later one", .path.display())]
    NewerSchema {
        /// The path of the file.
        path: PathBuf,
        /// The newest schema in the file.
        found: i64,
        /// The newest schema of this release.
        known: i64,
    },
    /// The tables could not be created or migrated.
    #[error("the tables of the database {} cannot be migrated; the database is unchanged", .path.display())]
    Schema {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// Another error of SQLite.
    #[error("the database {} cannot be opened", .path.display())]
    Failed {
        /// The path of the file.
        path: PathBuf,
        /// The error of SQLite.
        #[source]
        source: sqlx::Error,
    },
    /// Redis or its configuration does not meet the requirements.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// The keys in Redis cannot be taken over while a server uses them.
    #[error(
        "a server is using the keys in Redis, or ended less than 20 s ago; stop all of them, and try again"
    )]
    InUse,
    /// The keys in Redis were not taken over.
    #[error("the keys in Redis were not taken over")]
    TakeOver(#[source] StoreError),
    /// Some or all keys in Redis were not deleted.
    #[error("not all keys in Redis were deleted")]
    Erase(#[source] StoreError),
}

impl From<EraseError> for OpenError {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Redis(fault) => Self::Redis(fault),
            EraseError::Store(error) => Self::Erase(error),
        }
    }
}
