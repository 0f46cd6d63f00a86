//! Rejected attempts in SQLite: one row counts those of one kind, outcome, entity and minute.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use sqlx::SqliteConnection;

use crate::{
    audit::{AuditEvent, Kind},
    clock::Timestamp,
};

/// Finds those of these attempts that already have a row.
const KNOWN: &str = "SELECT id FROM audit_events WHERE id IN (SELECT value FROM json_each(?1))";
/// Adds the row of rejected attempts of one kind, outcome, entity and minute.
const COUNT: &str = "INSERT INTO audit_events \
    (id, at, kind, outcome, actor, user_id, target, detail, address, count, last_at, minute, entity) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
    ON CONFLICT (minute, kind, outcome, entity) WHERE entity IS NOT NULL DO UPDATE \
    SET count = audit_events.count + excluded.count, \
        last_at = max(coalesce(audit_events.last_at, audit_events.at), excluded.last_at) \
    ON CONFLICT (id) DO NOTHING";
/// Adds to that row if it exists.
const COUNT_ON: &str = "UPDATE audit_events SET count = count + ?5, last_at = max(coalesce(last_at, at), ?6) \
    WHERE minute = ?1 AND kind = ?2 AND outcome = ?3 AND entity = ?4";
/// The rows of one minute that count attempts of clients that are not logged in.
const OF_MINUTE: &str = "SELECT entity FROM audit_events \
    WHERE minute = ?1 AND entity IS NOT NULL AND actor IS NULL LIMIT ?2";

pub(super) const MINUTE_MS: i64 = 60_000;

/// Maximum number of rows per minute for rejected attempts of clients that are not logged in. The attempts of all
/// further clients are counted in one row for each kind and outcome, without a client: the trail grows no faster,
/// however many addresses an attacker has.
const MOST_A_MINUTE: usize = 1_000;

/// Maximum number of these rows per client. Further attempts of the client are counted together, whichever accounts
/// they concern.
const MOST_OF_A_CLIENT: usize = 12;

/// The entity of the clients beyond [`MOST_A_MINUTE`].
const OTHERS: &str = "*";

/// Returns the IDs of rejected attempts that already have a row.
pub(super) async fn known(
    connection: &mut SqliteConnection,
    events: &[AuditEvent],
) -> Result<HashSet<String>, sqlx::Error> {
    let refused = events.iter().filter(|it| it.is_aggregated());
    // Our own IDs need no escaping.
    let ids: Vec<_> = refused.map(|it| format!("\"{}\"", it.id)).collect();
    let known: Vec<String> = sqlx::query_scalar(KNOWN)
        .bind(format!("[{}]", ids.join(",")))
        .fetch_all(connection)
        .await?;
    Ok(known.into_iter().collect())
}

/// The common properties of the rejected attempts in one row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    minute: i64,
    kind: Kind,
    outcome: &'static str,
    entity: String,
}

/// The rejected attempts of one row.
#[derive(Debug)]
pub(super) struct Refused {
    first: AuditEvent,
    last_at: Timestamp,
    count: i64,
}

/// Groups events by row: in a flood, a batch is one statement.
pub(super) fn counted(events: &[&AuditEvent]) -> HashMap<Key, Refused> {
    let mut rows = HashMap::new();
    for event in events {
        let key = Key {
            minute: event.at.as_millis().div_euclid(MINUTE_MS),
            kind: event.kind,
            outcome: event.outcome,
            entity: event.aggregate_entity(),
        };
        let row = rows.entry(key).or_insert_with(|| Refused {
            first: event.stripped(),
            last_at: event.at,
            count: 0,
        });
        row.last_at = row.last_at.max(event.at);
        row.count += 1;
    }
    rows
}

/// The rows of one minute that count attempts of clients that are not logged in.
#[derive(Debug, Default)]
pub(super) struct Minute {
    rows: usize,
    of_client: HashMap<String, usize>,
}

impl Minute {
    async fn read(connection: &mut SqliteConnection, minute: i64) -> Result<Self, sqlx::Error> {
        let most = i64::try_from(MOST_A_MINUTE).unwrap_or(i64::MAX);
        let entities: Vec<String> = sqlx::query_scalar(OF_MINUTE)
            .bind(minute)
            .bind(most)
            .fetch_all(connection)
            .await?;
        let mut read = Self::default();
        for entity in &entities {
            read.add(entity);
        }
        Ok(read)
    }

    fn add(&mut self, entity: &str) {
        self.rows += 1;
        *self
            .of_client
            .entry(client_of(entity).to_owned())
            .or_default() += 1;
    }

    /// Returns what is counted instead of these attempts if there is no room for a separate row.
    fn room_for(&self, entity: &str, event: &AuditEvent) -> Option<(String, AuditEvent)> {
        if self.rows >= MOST_A_MINUTE {
            let of_nobody = AuditEvent {
                address: None,
                ..event.of_client()
            };
            return Some((OTHERS.to_owned(), of_nobody));
        }
        let of_client = self.of_client.get(client_of(entity));
        let is_full = of_client.is_some_and(|rows| *rows >= MOST_OF_A_CLIENT);
        is_full.then(|| (event.client(), event.of_client()))
    }
}

/// The client in an entity: its first two words, see [`AuditEvent::aggregate_entity`].
fn client_of(entity: &str) -> &str {
    let second = entity.match_indices(' ').nth(1);
    second.map_or(entity, |(end, _)| &entity[..end])
}

/// Counts rejected attempts, in their row if there is one, or in a new one while the minute has room for it.
pub(super) async fn count(
    connection: &mut SqliteConnection,
    minutes: &mut HashMap<i64, Minute>,
    mut key: Key,
    refused: &Refused,
) -> Result<(), sqlx::Error> {
    let counted = sqlx::query(COUNT_ON)
        .bind(key.minute)
        .bind(key.kind.as_str())
        .bind(key.outcome)
        .bind(key.entity.clone())
        .bind(refused.count)
        .bind(refused.last_at.as_millis())
        .execute(&mut *connection)
        .await?;
    if counted.rows_affected() > 0 {
        return Ok(());
    }
    let mut event = refused.first.clone();
    // Logged-in users and users of the command line are few, and must not be hidden by clients that are not logged in.
    if event.actor.is_none() {
        let minute = match minutes.entry(key.minute) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => place.insert(Minute::read(connection, key.minute).await?),
        };
        match minute.room_for(&key.entity, &event) {
            None => minute.add(&key.entity),
            Some((entity, of_more)) => (key.entity, event) = (entity, of_more),
        }
    }
    sqlx::query(COUNT)
        .bind(event.id.to_string())
        .bind(event.at.as_millis())
        .bind(key.kind.as_str())
        .bind(key.outcome)
        .bind(event.actor.map(|actor| actor.to_string()))
        .bind(event.user_id.map(|id| id.to_string()))
        .bind(event.target)
        .bind(event.detail)
        .bind(event.address.map(|address| address.to_string()))
        .bind(refused.count)
        .bind(refused.last_at.as_millis())
        .bind(key.minute)
        .bind(key.entity)
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[COUNT_ON, OF_MINUTE, KNOWN]).await;
    }
}
