//! Where sessions are stored, recorded in the data directory from one start to the next.
//!
//! If the configuration names another location, existing sessions stay where they are: their users are logged out, and
//! no gauge shows it. This may be intended, and the same servers may have two names, so a server only warns. A command
//! that looked into the embedded store while servers use Redis, or the reverse, would end no session and report
//! success, so it is rejected.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::{config::Config, store::EMBEDDED};

/// The file that records the location, within the data directory.
const FILE: &str = "sessions.place";

/// The configuration of a command keeps sessions in another store than the servers on its data directory.
#[derive(Debug, thiserror::Error)]
#[error(
    "the servers on {} keep sessions in {servers}, but this command would look in {here}; run it with their redis_url \
     (or, to change the location of sessions, start a server first)", .data_dir.display()
)]
pub(crate) struct Elsewhere {
    data_dir: PathBuf,
    servers: String,
    here: String,
}

/// Compares the session location of `config` with that of the last server that started on its data directory. Returns a
/// warning if the two differ by name but may be the same location.
///
/// # Errors
///
/// [`Elsewhere`] if they cannot be the same location.
pub(crate) fn compare(config: &Config) -> Result<Option<String>, Elsewhere> {
    let here = config.store().session_location();
    // If the file is missing, no server has run here. A file that cannot be read is reported by the server.
    let servers = fs::read_to_string(config.data_dir.join(FILE)).unwrap_or_default();
    let servers = servers.trim();
    if servers.is_empty() || servers == here {
        return Ok(None);
    }
    if servers == EMBEDDED || here == EMBEDDED {
        return Err(Elsewhere {
            data_dir: config.data_dir.clone(),
            servers: servers.to_owned(),
            here,
        });
    }
    Ok(Some(format!(
        "the servers on {} keep sessions in {servers}, this command in {here}: check that these are two names of the same place",
        config.data_dir.display()
    )))
}

/// Records the session location of `config`, and warns if the last server that started on its data directory used
/// another one.
pub(super) fn remember(config: &Config) {
    let now = config.store().session_location();
    match replace(&config.data_dir.join(FILE), &now) {
        Ok(Some(before)) => tracing::warn!(
            before,
            now,
            "sessions are kept in another place than when a server last started on this data_dir; unless these are two names \
             of one Redis, users who logged in there are not logged in here. All servers that share a data_dir must keep \
             sessions in the same place"
        ),
        Ok(None) => tracing::debug!(place = now, "the location of sessions is unchanged"),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "could not write the session location to data_dir"
        ),
    }
}

/// Writes `now` to the file, and returns the previous content if it was different.
fn replace(file: &Path, now: &str) -> io::Result<Option<String>> {
    let before = match fs::read_to_string(file) {
        Ok(before) => before,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let before = before.trim();
    if before == now {
        return Ok(None);
    }
    fs::write(file, format!("{now}\n"))?;
    Ok((!before.is_empty()).then(|| before.to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::config::{Environment, load};

    use super::*;

    fn kept_in(url: &str) -> String {
        let environment = Environment::default().with("SKRIPTOTEKET_REDIS_URL", url);
        load(None, &environment).unwrap().store().session_location()
    }

    #[test]
    fn a_place_is_told_once_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("place");
        assert_eq!(replace(&file, "here").unwrap(), None);
        assert_eq!(replace(&file, "here").unwrap(), None);
        assert_eq!(replace(&file, "there").unwrap().as_deref(), Some("here"));
        assert_eq!(replace(&file, "there").unwrap(), None);
    }

    #[test]
    fn a_place_is_where_the_keys_are_and_says_no_secret() {
        let one = kept_in("redis://ada:Fechter@cache/1");
        assert_eq!(one, "redis://cache:6379/1, redis_key_prefix skriptoteket");
        assert_eq!(one, kept_in("rediss://cache:6379/1"));
        assert_ne!(one, kept_in("redis://cache/2"));
        assert_eq!(
            kept_in("redis+cluster://a,b"),
            kept_in("redis+cluster://b,a")
        );
        assert_eq!(
            kept_in("redis+sentinel://a,b/main"),
            kept_in("redis+sentinel://c/main")
        );
        assert_eq!(
            load(None, &Environment::default())
                .unwrap()
                .store()
                .session_location(),
            EMBEDDED
        );
    }
}
