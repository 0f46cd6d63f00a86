//! Where sessions are kept, remembered in the data directory from one start to the next.
//!
//! Sessions stay where they are when the configuration names another place: who logged in there is logged out, and no
//! gauge shows it. That may be wanted, and the same servers may have two names, so it is a warning and no fault.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use crate::config::{Config, RedisAddress, RedisSettings, RedisTopology};

/// Remembers where `config` keeps sessions, and warns if they were kept elsewhere by the last server that started on its
/// data directory.
pub(super) fn remember(config: &Config) {
    let now = place(config);
    match replace(&config.data_dir.join("sessions.place"), &now) {
        Ok(Some(before)) => tracing::warn!(
            before,
            now,
            "sessions are kept in another place than when a server last started on this data_dir: who logged in there is \
             not logged in here; all servers that share a data_dir must keep them in one place"
        ),
        Ok(None) => tracing::debug!(place = now, "sessions are kept where they were"),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "where sessions are kept cannot be remembered in data_dir"
        ),
    }
}

/// The place in words. No user and no password is in it.
fn place(config: &Config) -> String {
    let Some(RedisSettings {
        topology,
        key_prefix,
        ..
    }) = &config.redis
    else {
        return "the embedded store".to_owned();
    };
    let list = |servers: &[RedisAddress]| {
        let mut names: Vec<String> = servers.iter().map(ToString::to_string).collect();
        names.sort();
        names.join(",")
    };
    let servers = match topology {
        RedisTopology::Standalone { server, database } => format!("redis://{server}/{database}"),
        // The master's name is the same whichever of the Sentinels are listed.
        RedisTopology::Sentinel {
            master, database, ..
        } => format!("redis+sentinel://…/{master}/{database}"),
        RedisTopology::Cluster { nodes } => format!("redis+cluster://{}", list(nodes)),
    };
    format!("{servers}, redis_key_prefix {key_prefix}")
}

/// Writes `now` into a file, and returns what was in it if that was something else.
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
        place(&load(None, &environment).unwrap())
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
            place(&load(None, &Environment::default()).unwrap()),
            "the embedded store"
        );
    }
}
