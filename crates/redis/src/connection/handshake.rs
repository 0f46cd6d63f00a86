//! The first commands on a connection: authentication, and why a server rejects us.

use redis::{Cmd, Pipeline, ServerError, Value, aio::MultiplexedConnection};
use secrecy::{ExposeSecret, SecretString};

use super::fault::{ConnectError, RedisFault, Unavailable};
use crate::RedisAddress;

/// The command that authenticates us, if there is a password.
pub(super) fn auth(user: Option<&str>, password: Option<&SecretString>) -> Option<Cmd> {
    let mut auth = redis::cmd("AUTH");
    if let Some(user) = user {
        auth.arg(user);
    }
    auth.arg(password?.expose_secret());
    Some(auth)
}

/// Authenticates, if there are credentials, and returns the reply to one command, or why the server rejected us.
pub(super) async fn said(
    connection: &mut MultiplexedConnection,
    server: &RedisAddress,
    auth: Option<Cmd>,
    command: Cmd,
) -> Result<Value, Unavailable> {
    let mut pipe = Pipeline::new();
    let logs_in = auth.is_some();
    if let Some(auth) = auth {
        pipe.add_command(auth);
    }
    pipe.add_command(command);
    let count = pipe.len();
    let mut answers = connection
        .send_packed_commands(&pipe, 0, count)
        .await
        .map_err(|error| Unavailable::disconnected(server, ConnectError::Broken(error)))?
        .into_iter();
    if logs_in && let Some(refusal @ Value::ServerError(_)) = answers.next() {
        return Ok(refusal);
    }
    Ok(answers.next().unwrap_or(Value::Nil))
}

/// Why a server rejected us.
pub(super) fn refused(server: &RedisAddress, database: u32, error: ServerError) -> Unavailable {
    let place = server.to_string();
    let details = error.details().unwrap_or_default();
    let fault = match error.code() {
        "WRONGPASS" => RedisFault::Credentials { place },
        "NOAUTH" => RedisFault::PasswordMissing { place },
        "DENIED" => RedisFault::Protected { place },
        "NOPERM" => RedisFault::NotPermitted {
            place,
            what: if database > 0 { "SELECT" } else { "PING" },
        },
        "LOADING" => return Unavailable::disconnected(&place, ConnectError::Loading),
        "ERR" if details.starts_with("AUTH ") => RedisFault::PasswordUnknown { place },
        "ERR" if details.contains("cluster mode") => RedisFault::ClusterNode { place },
        "ERR" if details.contains("index") || details.contains("out of range") => {
            RedisFault::Database { place, database }
        }
        _ => return Unavailable::disconnected(&place, ConnectError::Refused(error)),
    };
    fault.into()
}
