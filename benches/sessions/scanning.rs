//! Sessions as connect-redis stores them, counted in the way that is left without an index: SCAN + MGET.

use anyhow::ensure;
use redis::Connection;
use serde::Deserialize;
use serde_json::json;

use super::population::role_of;

/// Keys per SCAN or MGET, and commands per pipeline.
const BATCH: u64 = 1_000;

/// The part of a session that has to be decoded to find its role.
#[derive(Deserialize)]
struct Session {
    user: User,
}

#[derive(Deserialize)]
struct User {
    role: String,
}

/// Adds the sessions from number `from` up to `to` to this database.
pub(crate) fn grow(redis: &mut Connection, from: u64, to: u64) -> anyhow::Result<()> {
    for first in (from..to).step_by(usize::try_from(BATCH)?) {
        let mut pipe = redis::pipe();
        for n in first..to.min(first + BATCH) {
            let session = json!({
                "cookie": {
                    "originalMaxAge": 1_800_000,
                    "expires": "2026-01-01T12:30:00.000Z",
                    "httpOnly": true,
                    "path": "/",
                },
                "user": {
                    "id": format!("019a8f3e-0000-7000-8000-{n:012}"),
                    "username": format!("user{n}"),
                    "role": role_of(n).as_str(),
                },
                "times": {
                    "id": "00AAAAAAAAAAAAAAAAAAAAAA",
                    "created_at": "2026-01-01T12:00:00.000Z",
                    "expires_at": "2026-01-01T12:30:00.000Z",
                },
            });
            // As long as the ids of express-session.
            let set = pipe.cmd("SET").arg(format!("sess:{n:032}"));
            set.arg(session.to_string()).arg("EX").arg(43_200).ignore();
        }
        pipe.query::<()>(redis)?;
    }
    Ok(())
}

/// Counts all sessions of this database by role. This favours the peer: keys that SCAN returns twice are not removed.
pub(crate) fn count(redis: &mut Connection, expected: u64) -> anyhow::Result<[u64; 4]> {
    let (mut cursor, mut by_role) = (0_u64, [0; 4]);
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg("sess:*")
            .arg("COUNT")
            .arg(BATCH);
        let (next, keys): (u64, Vec<String>) = scan.query(redis)?;
        if !keys.is_empty() {
            let values: Vec<Option<String>> = redis::cmd("MGET").arg(&keys).query(redis)?;
            for value in values.into_iter().flatten() {
                let session: Session = serde_json::from_str(&value)?;
                let role = match session.user.role.as_str() {
                    "superuser" => 3,
                    "admin" => 2,
                    "contributor" => 1,
                    _ => 0,
                };
                by_role[role] += 1;
            }
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    ensure!(
        by_role.iter().sum::<u64>() >= expected,
        "SCAN has missed sessions"
    );
    Ok(by_role)
}
