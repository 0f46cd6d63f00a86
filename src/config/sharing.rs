//! The Redis settings, from the URL and the separate settings.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use skriptoteket_config::{Problem, RedisUrl, Reported, redis_url::check_login};

use crate::store::RedisSettings;

use super::{
    reader::{Given, Reader},
    settings as s,
};

/// Returns all of them; `None` if no URL is given.
pub(super) fn settings(reader: &mut Reader<'_>) -> Result<Option<RedisSettings>, Reported> {
    let url = url(reader);
    let username = reader.get(&s::REDIS_USERNAME);
    let password = reader.secret(&s::REDIS_PASSWORD);
    let sentinel_password = reader.secret(&s::REDIS_SENTINEL_PASSWORD);
    let tls_ca = reader.get(&s::REDIS_TLS_CA);
    let key_prefix = reader.get(&s::REDIS_KEY_PREFIX);
    let connect_timeout = reader.get(&s::REDIS_CONNECT_TIMEOUT);
    let allow_eviction = reader.get(&s::REDIS_ALLOW_EVICTION);
    let Some(url) = url? else {
        return Ok(None);
    };
    let login = login(reader, &url, username, password);
    let tls_ca = tls_ca.and_then(|it| authorities(reader, &url.value, it));
    let (username, password) = login?;
    Ok(Some(RedisSettings {
        topology: url.value.topology,
        tls: url.value.tls,
        tls_ca: tls_ca?,
        username,
        password,
        sentinel_password: sentinel_password?.map(|it| it.value),
        key_prefix: key_prefix?.value,
        connect_timeout: connect_timeout?.value,
        allow_eviction: allow_eviction?.value,
    }))
}

fn url(reader: &mut Reader<'_>) -> Result<Option<Given<RedisUrl>>, Reported> {
    let Some(given) = reader.secret(&s::REDIS_URL)? else {
        return Ok(None);
    };
    match RedisUrl::read(given.value.expose_secret()) {
        Ok(value) => Ok(Some(Given {
            value,
            origin: given.origin,
            shown: None,
        })),
        Err(problem) => Err(reader.report(given.origin, None, problem)),
    }
}

/// Returns the credentials: the URL and the settings may both give them, but must agree.
fn login(
    reader: &mut Reader<'_>,
    url: &Given<RedisUrl>,
    username: Result<Given<Option<String>>, Reported>,
    password: Result<Option<Given<SecretString>>, Reported>,
) -> Result<(Option<String>, Option<SecretString>), Reported> {
    let username = username.and_then(|beside| {
        let (in_url, given) = (&url.value.username, &beside.value);
        if in_url.is_some() && given.is_some() && in_url != given {
            return Err(reader.refuse(&beside, "the user that redis_url names, or none".into()));
        }
        Ok(beside.value.or_else(|| in_url.clone()))
    });
    let password = password.and_then(|beside| {
        let Some(beside) = beside else {
            return Ok(url.value.password.clone());
        };
        let given = beside.value.expose_secret();
        let in_url = url.value.password.as_ref();
        if in_url.is_some_and(|it| it.expose_secret() != given) {
            let problem = Problem::Expected(
                "the password in redis_url, or a password in only one of the two".into(),
            );
            return Err(reader.report(beside.origin, None, problem));
        }
        Ok(Some(beside.value))
    });
    let (username, password) = (username?, password?);
    match check_login(
        username.as_deref(),
        password.as_ref(),
        ", or redis_password",
    ) {
        Ok(()) => Ok((username, password)),
        Err(problem) => Err(reader.report(url.origin.clone(), None, problem)),
    }
}

/// Returns the file of certificate authorities. It is rejected without TLS: it would have no effect, and its presence
/// shows that TLS is expected.
fn authorities(
    reader: &mut Reader<'_>,
    url: &RedisUrl,
    file: Given<Option<PathBuf>>,
) -> Result<Option<PathBuf>, Reported> {
    if file.value.is_some() && !url.tls {
        return Err(reader.refuse(&file, "a redis_url with TLS (rediss)".into()));
    }
    Ok(file.value)
}
