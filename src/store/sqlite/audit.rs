//! The audit trail in SQLite.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection, Transaction, sqlite::SqliteRow};
use uuid::Uuid;

use super::{SqliteFile, error::Failure};
use crate::{
    audit::{self, Action, Actor, AuditEvent, AuditFilter, AuditRepository, AuditRow, Kind},
    clock::Timestamp,
    error::StoreError,
};

/// Adds a single row. If the event was announced, its row takes the outcome, once.
const ADD: &str = "INSERT INTO audit_events \
    (id, at, kind, outcome, actor, user_id, target, detail, address) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
    ON CONFLICT (id) DO UPDATE SET outcome = excluded.outcome, last_at = excluded.at, detail = excluded.detail \
    WHERE audit_events.outcome = 'pending'";
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
/// Changes nothing, and reports that, if the batch is the last one that this writer added.
const NEW_BATCH: &str = "INSERT INTO audit_writers (writer, batch, at) VALUES (?1, ?2, ?3) \
    ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, at = excluded.at \
    WHERE audit_writers.batch <> excluded.batch";
/// Moves rows with a future time to the present. They record their original time, and count no further attempts.
const CUT: &str = "UPDATE audit_events SET at = ?1, last_at = NULL, minute = NULL, entity = NULL, \
    detail = coalesce(detail || ', ', '') || 'time was ' || \
        coalesce(strftime('%Y-%m-%dT%H:%M:%SZ', at / 1000, 'unixepoch'), 'none') \
    WHERE seq IN (SELECT seq FROM audit_events WHERE at > ?2 ORDER BY at LIMIT ?3)";
const PRUNE: &str = "DELETE FROM audit_events WHERE seq IN \
    (SELECT seq FROM audit_events WHERE at < ?1 ORDER BY at LIMIT ?2)";
/// There is one row for each process that ever wrote, so there are few.
const CUT_WRITERS: &str = "UPDATE audit_writers SET at = ?1 WHERE at > ?1";
const PRUNE_WRITERS: &str = "DELETE FROM audit_writers WHERE at < ?1 AND writer <> ?2";

const MINUTE_MS: i64 = 60_000;

/// How far in the future the time of a row may be: the clock of a machine that is right is set back by less.
const AHEAD: Duration = Duration::from_mins(1);

/// Maximum number of rows per minute for rejected attempts of clients that are not logged in. The attempts of all
/// further clients are counted in one row for each kind and outcome, without a client: the trail grows no faster,
/// however many addresses an attacker has.
const MOST_A_MINUTE: usize = 1_000;

/// Maximum number of these rows per client. Further attempts of the client are counted together, whichever accounts
/// they concern.
const MOST_OF_A_CLIENT: usize = 12;

/// The entity of the clients beyond [`MOST_A_MINUTE`].
const OTHERS: &str = "*";

/// The audit trail in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteAudit {
    file: SqliteFile,
    /// Identifies this writer in `audit_writers`.
    writer: Uuid,
}

impl SqliteAudit {
    /// Creates the audit trail of this file.
    pub(in crate::store) fn new(file: SqliteFile) -> Self {
        Self {
            file,
            writer: Uuid::new_v4(),
        }
    }
}

#[async_trait]
impl AuditRepository for SqliteAudit {
    async fn append(&self, events: &[AuditEvent]) -> Result<(), StoreError> {
        let Some(first) = events.first() else {
            return Ok(());
        };
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let new_batch = sqlx::query(NEW_BATCH)
                    .bind(self.writer.to_string())
                    .bind(first.id.to_string())
                    .bind(self.file.now().as_millis());
                if new_batch
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?
                    .rows_affected()
                    == 0
                {
                    return Ok(());
                }
                // A rejected attempt already has a row if something was committed and the response was lost: either the
                // row of its change, which is then correct, or its announcement, which then takes the outcome.
                let known = known(&mut transaction, events).await.map_err(Failure)?;
                let (refused, own): (Vec<_>, Vec<_>) = events
                    .iter()
                    .partition(|it| it.is_aggregated() && !known.contains(&it.id.to_string()));
                for event in own {
                    add(&mut transaction, event).await.map_err(Failure)?;
                }
                let mut minutes = HashMap::new();
                for (key, refused) in counted(&refused) {
                    count(&mut transaction, &mut minutes, key, &refused)
                        .await
                        .map_err(Failure)?;
                }
                transaction.commit().await.map_err(Failure)?;
                Ok(())
            })
            .await
    }

    async fn announce(&self, event: &AuditEvent) -> Result<(), StoreError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                add(&mut transaction, event).await.map_err(Failure)?;
                transaction.commit().await.map_err(Failure)?;
                Ok(())
            })
            .await
    }

    async fn search(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.reader().await.map_err(Failure)?;
                let mut search = search(filter, limit);
                let rows = search
                    .build()
                    .fetch_all(&mut *connection)
                    .await
                    .map_err(Failure)?;
                rows.iter().map(row_of).collect()
            })
            .await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.file
            .in_time(async {
                let mut connection = self.file.writer().await.map_err(Failure)?;
                let now = self.file.now();
                let cut = sqlx::query(CUT)
                    .bind(now.as_millis())
                    .bind(now.plus(AHEAD).as_millis())
                    .bind(limit)
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                let pruned = sqlx::query(PRUNE)
                    .bind(before.as_millis())
                    .bind(limit)
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                sqlx::query(CUT_WRITERS)
                    .bind(now.as_millis())
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                sqlx::query(PRUNE_WRITERS)
                    .bind(before.as_millis())
                    .bind(self.writer.to_string())
                    .execute(&mut *connection)
                    .await
                    .map_err(Failure)?;
                Ok(cut.rows_affected().saturating_add(pruned.rows_affected()))
            })
            .await
    }
}

/// Commits the transaction of a change. If an action of this kind is in progress, its event is written in the same
/// transaction; `about` describes what the change concerns.
pub(super) async fn commit(
    mut transaction: Transaction<'static, Sqlite>,
    kind: Kind,
    now: Timestamp,
    about: impl FnOnce(&Action) + Send,
) -> Result<(), sqlx::Error> {
    let Some(action) = audit::current(kind) else {
        return transaction.commit().await;
    };
    about(&action);
    add(&mut transaction, &action.succeeded(now)).await?;
    transaction.commit().await?;
    action.written();
    Ok(())
}

async fn add(connection: &mut SqliteConnection, event: &AuditEvent) -> Result<(), sqlx::Error> {
    sqlx::query(ADD)
        .bind(event.id.to_string())
        .bind(event.at.as_millis())
        .bind(event.kind.as_str())
        .bind(event.outcome)
        .bind(event.actor.map(|actor| actor.to_string()))
        .bind(event.user_id.map(|id| id.to_string()))
        .bind(event.target.clone())
        .bind(event.detail.clone())
        .bind(event.address.map(|address| address.to_string()))
        .execute(connection)
        .await
        .map(drop)
}

/// Returns the IDs of rejected attempts that already have a row.
async fn known(
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
struct Key {
    minute: i64,
    kind: Kind,
    outcome: &'static str,
    entity: String,
}

/// The rejected attempts of one row.
#[derive(Debug)]
struct Refused {
    first: AuditEvent,
    last_at: Timestamp,
    count: i64,
}

/// Groups events by row: in a flood, a batch is one statement.
fn counted(events: &[&AuditEvent]) -> HashMap<Key, Refused> {
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
struct Minute {
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
async fn count(
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

fn search(filter: &AuditFilter, limit: u32) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT seq, at, coalesce(last_at, at) AS last_at, count, kind, outcome, actor, user_id, target, detail, address \
         FROM audit_events WHERE true",
    );
    if let Some(id) = filter.user_id {
        query.push(" AND user_id = ").push_bind(id.to_string());
    }
    if let Some(address) = filter.address {
        query.push(" AND address = ").push_bind(address.to_string());
    }
    match filter.kind {
        // In the format of the index.
        Some(kind) if kind != Kind::Login => {
            query
                .push(" AND kind <> 'login' AND kind = ")
                .push_bind(kind.as_str());
        }
        Some(kind) => {
            query.push(" AND kind = ").push_bind(kind.as_str());
        }
        None => {}
    }
    match filter.actor {
        Some(Actor::CommandLine { uid: None }) => {
            query.push(" AND kind <> 'login' AND (actor = 'cli' OR actor LIKE 'cli:%')");
        }
        Some(actor) => {
            query
                .push(" AND kind <> 'login' AND actor = ")
                .push_bind(actor.to_string());
        }
        None => {}
    }
    if let Some(outcome) = &filter.outcome {
        if outcome != audit::SUCCESS {
            query.push(" AND outcome <> 'success'");
        }
        query.push(" AND outcome = ").push_bind(outcome.clone());
    }
    if let Some(since) = filter.since {
        // A row that counts attempts also belongs to the time of its last attempt.
        query
            .push(" AND coalesce(last_at, at) >= ")
            .push_bind(since.as_millis());
        query
            .push(" AND at >= ")
            .push_bind(since.as_millis().saturating_sub(MINUTE_MS));
    }
    if let Some(until) = filter.until {
        query.push(" AND at < ").push_bind(until.as_millis());
    }
    if let Some(after) = filter.after {
        query
            .push(" AND (at, seq) < (")
            .push_bind(after.at.as_millis());
        query.push(", ").push_bind(after.seq).push(")");
    }
    query
        .push(" ORDER BY at DESC, seq DESC LIMIT ")
        .push_bind(limit);
    query
}

fn row_of(row: &SqliteRow) -> Result<AuditRow, StoreError> {
    let user_id: Option<String> = row.try_get("user_id").map_err(Failure)?;
    let address: Option<String> = row.try_get("address").map_err(Failure)?;
    let count: i64 = row.try_get("count").map_err(Failure)?;
    Ok(AuditRow {
        seq: row.try_get("seq").map_err(Failure)?,
        at: Timestamp::from_millis(row.try_get("at").map_err(Failure)?),
        last_at: Timestamp::from_millis(row.try_get("last_at").map_err(Failure)?),
        count: u64::try_from(count).map_err(|_| StoreError::Corrupt("audit.count"))?,
        kind: row.try_get("kind").map_err(Failure)?,
        outcome: row.try_get("outcome").map_err(Failure)?,
        actor: row.try_get("actor").map_err(Failure)?,
        user_id: user_id
            .map(|id| id.parse())
            .transpose()
            .map_err(|_| StoreError::Corrupt("audit.user_id"))?,
        target: row.try_get("target").map_err(Failure)?,
        detail: row.try_get("detail").map_err(Failure)?,
        address: address
            .map(|address| address.parse())
            .transpose()
            .map_err(|_| StoreError::Corrupt("audit.address"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};
    use crate::accounts::UserId;

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_eq!(audit::PENDING, "pending", "as ADD has it");
        assert_indexed(&[CUT, PRUNE, COUNT_ON, OF_MINUTE, KNOWN]).await;
    }

    #[tokio::test]
    async fn a_search_uses_an_index_for_each_condition_that_an_operator_gives() {
        let filters = [
            AuditFilter {
                user_id: Some(UserId::generate()),
                ..AuditFilter::default()
            },
            AuditFilter {
                address: Some([192, 0, 2, 1].into()),
                ..AuditFilter::default()
            },
            AuditFilter {
                kind: Some(Kind::UserCreate),
                ..AuditFilter::default()
            },
            AuditFilter {
                actor: Some(Actor::System),
                ..AuditFilter::default()
            },
            AuditFilter {
                outcome: Some("account_locked".into()),
                ..AuditFilter::default()
            },
            AuditFilter {
                since: Some(Timestamp::default()),
                until: Some(Timestamp::default()),
                ..AuditFilter::default()
            },
        ];
        for filter in filters {
            let sql: &'static str = search(&filter, 10).into_string().leak();
            assert_indexed(&[sql]).await;
        }
    }
}
