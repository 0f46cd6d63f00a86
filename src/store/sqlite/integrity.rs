//! Checks and repairs the sessions in the embedded store.

use std::future::Future;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::{Row, Sqlite, Transaction, sqlite::SqliteRow};

use super::{
    SqliteFile,
    error::Failure,
    integrity_sql as sql,
    session_rows::{Tally, record_of, role_of},
    session_sql::EVICT,
};
use crate::{
    accounts::Role,
    clock::Timestamp,
    error::StoreError,
    sessions::{Census, Difference, EndReason, Recount, SessionIntegrity},
};

/// Entries that are repaired in one transaction: a login may have to wait that long.
const BATCH: usize = 200;

/// Checks and repairs sessions in an [`SqliteFile`].
///
/// A row is both the record and the index entry. Errors are possible in what the triggers maintain (`session_users`,
/// `session_tallies`), in the totals, and in the texts of a row.
#[derive(Debug)]
pub(in crate::store) struct SqliteIntegrity {
    file: SqliteFile,
}

/// The repairable errors that a walk over all rows found.
#[derive(Debug, Default)]
struct Suspects {
    /// Live sessions whose rows cannot be read, by sequence number.
    unreadable: Vec<i64>,
    /// Users whose entry in the user index is wrong, missing, or without sessions.
    users: Vec<Vec<u8>>,
}

/// The sessions of one user, in the order of the walk.
#[derive(Debug)]
struct Owner {
    name: Vec<u8>,
    /// The latest expiry of all sessions, in ms.
    last_expiry: i64,
    /// The newest live session, and its role.
    newest_live: Option<(i64, Role)>,
    /// The entry in the user index: role and expiry in ms.
    indexed: Option<(Option<Role>, i64)>,
}

impl SqliteIntegrity {
    pub(in crate::store) const fn new(file: SqliteFile) -> Self {
        Self { file }
    }

    /// Walks over all rows of one snapshot of the file. Uses one reader connection and blocks no writer; the
    /// write-ahead log cannot be truncated in the meantime.
    async fn walk(&self) -> Result<(Recount, Suspects), StoreError> {
        let (mut recount, mut suspects) = (Recount::default(), Suspects::default());
        let mut snapshot = self.step(self.file.snapshot()).await?;
        // The first read takes the snapshot, which must not be older than `now`.
        let now = self.file.now();
        let tallies = sqlx::query(sql::TALLIES).bind(now.as_millis());
        let tallies = self.step(tallies.fetch_all(&mut *snapshot)).await?;

        let mut rows_by_role = [0; 4];
        let mut owner: Option<Owner> = None;
        let mut rows = sqlx::query(sql::SESSIONS).fetch(&mut *snapshot);
        while let Some(row) = self.step(rows.try_next()).await? {
            let name: Vec<u8> = row.try_get("owner").map_err(Failure)?;
            if owner.as_ref().is_none_or(|owner| owner.name != name) {
                close(owner.take(), &mut recount, &mut suspects);
            }
            let role = role_of(&row)?;
            rows_by_role[role.index()] += 1;
            let owner = match &mut owner {
                Some(owner) => owner,
                none => none.insert(Owner::first(name, &row)?),
            };
            owner.meet(&row, role, now)?;
            judge(&row, role, now, &mut recount, &mut suspects)?;
        }
        drop(rows);
        close(owner, &mut recount, &mut suspects);

        let mut strangers = sqlx::query(sql::USERS_WITHOUT).fetch(&mut *snapshot);
        while let Some(row) = self.step(strangers.try_next()).await? {
            let name: Vec<u8> = row.try_get("owner").map_err(Failure)?;
            accuse(name, &mut recount, &mut suspects);
        }
        drop(strangers);
        compare(&tallies, rows_by_role, &mut recount)?;
        Ok((recount, suspects))
    }

    /// Runs one step of a longer operation within the store timeout.
    async fn step<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>> + Send,
    ) -> Result<T, StoreError> {
        self.file
            .in_time(async { Ok(work.await.map_err(Failure)?) })
            .await
    }

    /// Repairs those of `suspects` that are still wrong, then the tallies. Returns how many entries changed.
    async fn mend(&self, suspects: &Suspects) -> Result<u64, StoreError> {
        let mut mended = 0;
        for batch in suspects.unreadable.chunks(BATCH) {
            mended += self.file.in_time(self.end_unreadable(batch)).await?;
        }
        for batch in suspects.users.chunks(BATCH) {
            mended += self.file.in_time(self.index_users(batch)).await?;
        }
        // One statement counts all rows: it walks an index of integers, a million in some 30 ms.
        let settle = async {
            let mut transaction = self.file.begin().await.map_err(Failure)?;
            let mut changed = 0;
            for statement in [sql::RETALLY, sql::SETTLE] {
                let done = sqlx::query(statement)
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                changed += done.rows_affected();
            }
            transaction.commit().await.map_err(Failure)?;
            Ok(changed)
        };
        Ok(mended + self.file.in_time::<_, StoreError>(settle).await?)
    }

    async fn end_unreadable(&self, batch: &[i64]) -> Result<u64, StoreError> {
        let mut transaction = self.file.begin().await.map_err(Failure)?;
        let (now, mut tally, mut ended) = (self.file.now(), Tally::default(), 0);
        for seq in batch {
            let row = sqlx::query(sql::SESSION).bind(seq);
            let row = row
                .fetch_optional(&mut *transaction)
                .await
                .map_err(Failure)?;
            if row.is_some_and(|row| record_of(&row).is_err()) {
                let rows = end(&mut transaction, *seq).await.map_err(Failure)?;
                tally.end_all(&rows, now, EndReason::Lost)?;
                ended += 1;
            }
        }
        tally.count(&mut transaction).await.map_err(Failure)?;
        transaction.commit().await.map_err(Failure)?;
        Ok(ended)
    }

    async fn index_users(&self, batch: &[Vec<u8>]) -> Result<u64, StoreError> {
        let mut transaction = self.file.begin().await.map_err(Failure)?;
        let (now, mut mended) = (self.file.now().as_millis(), 0);
        for user in batch {
            let forgotten = sqlx::query(sql::FORGET_USER).bind(user.clone());
            let forgotten = forgotten
                .execute(&mut *transaction)
                .await
                .map_err(Failure)?;
            let indexed = sqlx::query(sql::INDEX_USER).bind(user.clone()).bind(now);
            let indexed = indexed.execute(&mut *transaction).await.map_err(Failure)?;
            mended += forgotten.rows_affected().max(indexed.rows_affected());
        }
        transaction.commit().await.map_err(Failure)?;
        Ok(mended)
    }
}

#[async_trait]
impl SessionIntegrity for SqliteIntegrity {
    async fn recount(&self, repair: bool) -> Result<Recount, StoreError> {
        let (mut recount, suspects) = self.walk().await?;
        if repair && !recount.findings.is_empty() {
            recount.repaired = self.mend(&suspects).await?;
        }
        Ok(recount)
    }

    async fn facts(&self) -> Result<Vec<(String, String)>, StoreError> {
        let row = self.step(async {
            let mut connection = self.file.reader().await?;
            sqlx::query(sql::FACTS).fetch_one(&mut *connection).await
        });
        let row = row.await?;
        let number = |column| row.try_get::<i64, _>(column).map(|n| n.to_string());
        let text = |column| row.try_get::<String, _>(column);
        Ok([
            ("store", "sqlite".to_owned()),
            ("version", text("version").map_err(Failure)?),
            ("file", self.file.path.display().to_string()),
            ("file_bytes", number("bytes").map_err(Failure)?),
            ("schema", number("schema").map_err(Failure)?),
            ("journal_mode", text("journal_mode").map_err(Failure)?),
            ("observer", "the one service on this file".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec())
    }
}

impl Owner {
    fn first(name: Vec<u8>, row: &SqliteRow) -> Result<Self, StoreError> {
        let role: Option<u8> = row.try_get("user_role").map_err(Failure)?;
        let expiry: Option<i64> = row.try_get("user_expires_at").map_err(Failure)?;
        Ok(Self {
            name,
            last_expiry: i64::MIN,
            newest_live: None,
            indexed: role
                .zip(expiry)
                .map(|(role, expiry)| (Role::from_index(role.into()), expiry)),
        })
    }

    fn meet(&mut self, row: &SqliteRow, role: Role, now: Timestamp) -> Result<(), StoreError> {
        let (seq, expiry): (i64, i64) = (
            row.try_get("seq").map_err(Failure)?,
            row.try_get("expires_at").map_err(Failure)?,
        );
        self.last_expiry = self.last_expiry.max(expiry);
        if expiry > now.as_millis() && self.newest_live.is_none_or(|(newest, _)| newest < seq) {
            self.newest_live = Some((seq, role));
        }
        Ok(())
    }

    /// If all sessions of a user have expired, the user keeps their last role, which no row contains any more.
    fn is_indexed_rightly(&self) -> bool {
        self.indexed.is_some_and(|(role, expiry)| {
            let right = |(_, live)| role == Some(live);
            expiry == self.last_expiry && self.newest_live.is_none_or(right)
        })
    }
}

/// Finishes a user after all of their sessions were visited.
fn close(owner: Option<Owner>, recount: &mut Recount, suspects: &mut Suspects) {
    let Some(owner) = owner else { return };
    if let Some((_, role)) = owner.newest_live {
        recount.records.users[role.index()] += 1;
    }
    if !owner.is_indexed_rightly() {
        accuse(owner.name, recount, suspects);
    }
}

fn accuse(user: Vec<u8>, recount: &mut Recount, suspects: &mut Suspects) {
    recount.add(Difference::UserIndexedOtherwise, 1, || {
        // An ID, unless the value is damaged.
        let name = String::from_utf8_lossy(&user);
        format!("session_users {}", name.escape_default())
    });
    suspects.users.push(user);
}

/// Counts one session by the content of its row.
fn judge(
    row: &SqliteRow,
    role: Role,
    now: Timestamp,
    recount: &mut Recount,
    suspects: &mut Suspects,
) -> Result<(), StoreError> {
    let expires_at: i64 = row.try_get("expires_at").map_err(Failure)?;
    if expires_at <= now.as_millis() {
        recount.records.expired[role.index()] += 1;
    } else if record_of(row).is_ok() {
        recount.records.sessions[role.index()] += 1;
    } else {
        let seq: i64 = row.try_get("seq").map_err(Failure)?;
        recount.add(Difference::IndexedWithoutRecord, 1, || {
            format!("sessions.seq {seq}")
        });
        suspects.unreadable.push(seq);
    }
    Ok(())
}

/// Compares what the triggers maintain with the visited rows, role by role.
fn compare(
    tallies: &[SqliteRow],
    rows_by_role: [u64; 4],
    recount: &mut Recount,
) -> Result<(), StoreError> {
    for row in tallies {
        let role = role_of(row)?;
        let at = role.index();
        let number = |column| row.try_get::<i64, _>(column);
        let place = |column: &'static str| move || format!("session_tallies.{column} of {role}");

        let (kept, met) = (
            number("sessions").map_err(Failure)?,
            rows_by_role[at].cast_signed(),
        );
        let kind = if kept > met {
            Difference::IndexedWithoutRecord
        } else {
            Difference::RecordNotIndexed
        };
        recount.add(kind, kept.abs_diff(met), place("sessions"));
        let users = number("users").map_err(Failure)?;
        let apart = users.abs_diff(number("counted_users").map_err(Failure)?);
        recount.add(Difference::UserIndexedOtherwise, apart, place("users"));

        let mut ended = 0;
        for reason in EndReason::ALL {
            let of_reason = number(reason.as_str()).map_err(Failure)?;
            recount.index.totals.ended[at][reason.index()] = of_reason.try_into().unwrap_or(0);
            ended += of_reason;
        }
        let started = number("started").map_err(Failure)?;
        recount.index.totals.started[at] = started.try_into().unwrap_or(0);
        let apart = (started - ended).abs_diff(kept);
        recount.add(Difference::TotalsDisagree, apart, place("started"));

        // A damaged value may be negative.
        let counted = |all: i64, expired: i64| u64::try_from(all - expired).unwrap_or(0);
        let expired = number("expired_sessions").map_err(Failure)?;
        let Census {
            sessions,
            users: by_role,
            expired: gone,
            ..
        } = &mut recount.index;
        sessions[at] = counted(kept, expired);
        gone[at] = counted(expired, 0);
        by_role[at] = counted(users, number("expired_users").map_err(Failure)?);
    }
    Ok(())
}

async fn end(
    transaction: &mut Transaction<'_, Sqlite>,
    seq: i64,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let deleted = sqlx::query(EVICT).bind(seq);
    deleted.fetch_all(&mut **transaction).await
}
