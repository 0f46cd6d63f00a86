//! The format of a session's record in Redis, and how it is read.
//!
//! Three lines. The first has a fixed width, so that a script can change one field in place:
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0–12 | `exp` | idle expiry |
//! | 13–25 | `seen` | time of the last refresh |
//! | 26–38 | `ends` | absolute expiry |
//! | 39–51 | `born` | start time |
//! | 52–64 | `idle` | idle timeout |
//! | 65–77 | `seq` | sequence number within its shard |
//! | 78 | `role` | 0 to 3 |
//! | 79–100 | `uid` | the user, as in [`uid`](super::keys::uid) |
//! | 101 | | a newline |
//!
//! Times and durations are decimal milliseconds, padded with zeros. The second line is JSON with the role of the key
//! (`k`), the version of the account (`v`), the name (`n`), the user agent (`a`) and the client's network (`w`); the
//! third is the application's state. This JSON contains no newlines. `k` and `v` come first, so that a script can read
//! and change them in place; older records have neither of them, and no `w`. Fields that a later version adds are
//! ignored, so that its replicas can run beside those of this version.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use super::keys::user_of;
use skriptoteket_core::{clock::Timestamp, error::StoreError, network::ClientNetwork};
use skriptoteket_login::accounts::{Role, Username};
use skriptoteket_sessions::{NewSession, SessionId, SessionRecord, SessionState};

/// The latest time that fits into a score together with the role, in ms: the year 2109.
pub(super) const LATEST: u64 = (1 << 42) - 1;

const HEAD: usize = 101;

#[derive(Serialize)]
struct WrittenClient<'a> {
    k: u8,
    v: i64,
    n: &'a str,
    a: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    w: Option<ClientNetwork>,
}

#[derive(Deserialize)]
struct Client<'a> {
    #[serde(default)]
    k: Option<u8>,
    /// Used by a script only.
    #[serde(default, rename = "v")]
    _version: i64,
    #[serde(borrow)]
    n: Cow<'a, str>,
    a: String,
    #[serde(default, borrow)]
    w: Option<Cow<'a, str>>,
}

/// A duration in ms, as scripts expect it.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).map_or(LATEST, |millis| millis.min(LATEST))
}

/// Returns the second and third line of a new session.
pub(super) fn payload(new: &NewSession) -> Result<String, StoreError> {
    let client = WrittenClient {
        k: new.role as u8,
        v: new.account_version,
        n: new.username.as_str(),
        a: &new.user_agent,
        w: new.network,
    };
    let client =
        serde_json::to_string(&client).map_err(|error| StoreError::Unavailable(error.into()))?;
    Ok(client + "\n" + &state_text(&new.state)?)
}

/// Returns the third line.
pub(super) fn state_text(state: &SessionState) -> Result<String, StoreError> {
    serde_json::to_string(state).map_err(|error| StoreError::Unavailable(error.into()))
}

/// False if the session has ended by this time, in ms. Unreadable records are left to [`decode`].
pub(super) fn is_live(record: &[u8], now: i64) -> bool {
    let exp = record.get(..13).and_then(|exp| str::from_utf8(exp).ok());
    exp.and_then(|exp| exp.parse::<i64>().ok())
        .is_none_or(|exp| exp > now)
}

/// Reads a record. Anything that is not exactly a record is corrupt.
pub(super) fn decode(id: SessionId, record: &[u8]) -> Result<SessionRecord, StoreError> {
    let text = str::from_utf8(record).map_err(|_| StoreError::Corrupt("session"))?;
    let mut lines = text.split('\n');
    let (Some(head), Some(client), Some(state), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(StoreError::Corrupt("session"));
    };
    if head.len() != HEAD || !head.is_ascii() {
        return Err(StoreError::Corrupt("session"));
    }
    // Only the scripts use the sequence number, but a record without it is not one of ours.
    number(&head[65..78])?;
    let client: Client<'_> =
        serde_json::from_str(client).map_err(|_| StoreError::Corrupt("session.client"))?;
    let network = client.w.map(|it| it.parse()).transpose();
    let session_role = role(&head[78..79])?;
    Ok(SessionRecord {
        id,
        user_id: user_of(&head[79..]).ok_or(StoreError::Corrupt("session.user_id"))?,
        username: username(&client.n)?,
        role: session_role,
        key_role: client.k.map_or(Ok(session_role), role_of)?,
        created_at: time(&head[39..52])?,
        last_seen_at: time(&head[13..26])?,
        expires_at: time(&head[..13])?,
        ends_at: time(&head[26..39])?,
        idle: Duration::from_millis(number(&head[52..65])?),
        user_agent: client.a,
        network: network.map_err(|_| StoreError::Corrupt("session.network"))?,
        state: serde_json::from_str(state).map_err(|_| StoreError::Corrupt("session.state"))?,
    })
}

/// Reads a record for a list; unreadable ones are left out.
pub(super) fn decode_if_readable(id: SessionId, record: &[u8]) -> Option<SessionRecord> {
    match decode(id, record) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::error!(error = %error, "unreadable session omitted from a list");
            None
        }
    }
}

fn username(text: &str) -> Result<Username, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Corrupt("session.username"))
}

fn role(digit: &str) -> Result<Role, StoreError> {
    let index = number(digit)?.try_into();
    role_of(index.map_err(|_| StoreError::Corrupt("session.role"))?)
}

fn role_of(index: u8) -> Result<Role, StoreError> {
    Role::from_index(index.into()).ok_or(StoreError::Corrupt("session.role"))
}

fn time(digits: &str) -> Result<Timestamp, StoreError> {
    let millis = i64::try_from(number(digits)?).map_err(|_| StoreError::Corrupt("session"))?;
    Ok(Timestamp::from_millis(millis))
}

fn number(digits: &str) -> Result<u64, StoreError> {
    // `parse` would accept a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(StoreError::Corrupt("session"));
    }
    digits.parse().map_err(|_| StoreError::Corrupt("session"))
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write, net::IpAddr};

    use proptest::prelude::*;

    use super::*;
    use crate::keys;
    use skriptoteket_login::accounts::UserId;
    use skriptoteket_sessions::SessionKey;

    /// Writes a record as the scripts do.
    fn encode(record: &SessionRecord) -> Vec<u8> {
        let new = NewSession {
            id: record.id.clone(),
            user_id: record.user_id,
            username: record.username.clone(),
            role: record.role,
            account_version: 1,
            idle: record.idle,
            lifetime: Duration::ZERO,
            user_agent: record.user_agent.clone(),
            network: record.network,
            state: record.state.clone(),
        };
        let times = [
            record.expires_at,
            record.last_seen_at,
            record.ends_at,
            record.created_at,
        ];
        let mut text: String = times
            .map(|time| format!("{:013}", time.as_millis()))
            .concat();
        let (idle, seq, role) = (record.idle.as_millis(), 7, record.role as u8);
        let _ = write!(text, "{idle:013}{seq:013}{role}");
        text += &keys::uid(record.user_id);
        (text + "\n" + &payload(&new).unwrap()).into_bytes()
    }

    fn any_record() -> impl Strategy<Value = SessionRecord> {
        let times = prop::array::uniform4(0..i64::try_from(LATEST).unwrap());
        let state =
            prop::collection::btree_map("\\PC{0,8}|[\\x00-\\x1f]{0,3}", "(?s).{0,20}", 0..4);
        let network = prop::option::of(any::<IpAddr>().prop_map(ClientNetwork::from));
        let client = ("(?s).{0,40}", network);
        (times, 0..LATEST, 0..4_usize, client, state).prop_map(
            |([exp, seen, ends, born], idle, role, (user_agent, network), state)| {
                let user_id = UserId::generate();
                SessionRecord {
                    id: SessionKey::generate(user_id).id(),
                    user_id,
                    username: "ada@example.org".parse().unwrap(),
                    role: Role::ALL[role],
                    key_role: Role::ALL[role],
                    created_at: Timestamp::from_millis(born),
                    last_seen_at: Timestamp::from_millis(seen),
                    expires_at: Timestamp::from_millis(exp),
                    ends_at: Timestamp::from_millis(ends),
                    idle: Duration::from_millis(idle),
                    user_agent,
                    network,
                    state,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(record in any_record()) {
            let read = decode(record.id.clone(), &encode(&record)).unwrap();
            prop_assert_eq!(read, record);
        }

        #[test]
        fn nothing_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let id = SessionKey::generate(UserId::generate()).id();
            prop_assert!(decode(id, &bytes).is_err());
        }

        #[test]
        fn a_record_cut_short_or_with_another_byte_is_no_panic(
            record in any_record(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = encode(&record);
            let at = at.index(bytes.len());
            prop_assert!(decode(record.id.clone(), &bytes[..at]).is_err());
            let same = bytes[at] == byte;
            bytes[at] = byte;
            let read = decode(record.id.clone(), &bytes);
            if same {
                prop_assert_eq!(read.unwrap(), record);
            } else if at < 79 && !byte.is_ascii_digit() {
                prop_assert!(read.is_err());
            }
        }
    }

    #[test]
    fn what_a_newer_version_adds_is_ignored_and_a_host_is_no_network() {
        let user = UserId::generate();
        let id = SessionKey::generate(user).id();
        let read = |client: &str| {
            let head = format!("{}{}", "0".repeat(79), keys::uid(user));
            decode(id.clone(), format!("{head}\n{client}\n{{}}").as_bytes())
        };
        let newer = read(r#"{"n":"ada","a":"","w":"192.0.2.0/24","z":[1]}"#).unwrap();
        assert_eq!(newer.network, Some("192.0.2.0/24".parse().unwrap()));
        assert_eq!(read(r#"{"n":"ada","a":""}"#).unwrap().network, None);
        let host = read(r#"{"n":"ada","a":"","w":"192.0.2.7/24"}"#);
        assert!(matches!(host, Err(StoreError::Corrupt("session.network"))));
    }

    #[test]
    fn a_role_that_does_not_exist_is_corrupt() {
        let user = UserId::generate();
        let id = SessionKey::generate(user).id();
        for role in ["4", "9", " ", "-"] {
            let head = format!("{}{role}{}", "0".repeat(78), keys::uid(user));
            let record = format!("{head}\n{{\"n\":\"ada\",\"a\":\"\"}}\n{{}}");
            assert!(decode(id.clone(), record.as_bytes()).is_err(), "{role}");
        }
    }
}
