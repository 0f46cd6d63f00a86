//! Accounts in SQLite.

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

use super::{
    SqliteFile,
    account_rows::{account_of, find_user, user_of},
    account_sql as sql, audit,
    error::Failure,
};
use crate::{
    accounts::{
        Account, AccountChange, AccountError, AccountRepository, NewAccount, Profile, Role, User,
        UserId, Username,
    },
    audit::{Action, Kind},
    error::StoreError,
};

/// Accounts in the embedded file.
#[derive(Clone, Debug)]
pub(in crate::store) struct SqliteAccounts {
    file: SqliteFile,
}

impl SqliteAccounts {
    /// Creates the repository of the accounts in this file.
    pub(in crate::store) const fn new(file: SqliteFile) -> Self {
        Self { file }
    }

    /// Runs the statement that sets the password hash of this account. Returns whether it set one.
    async fn set_hash(
        &self,
        id: UserId,
        statement: Query<'static, Sqlite, SqliteArguments>,
        kind: Kind,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.file.begin().await.map_err(Failure)?;
        if statement
            .execute(&mut *transaction)
            .await
            .map_err(Failure)?
            .rows_affected()
            == 0
        {
            return Ok(false);
        }
        let about = |action: &Action| action.set_user(id);
        audit::commit(transaction, kind, self.file.now(), about)
            .await
            .map_err(Failure)?;
        Ok(true)
    }
}

#[async_trait]
impl AccountRepository for SqliteAccounts {
    async fn add(&self, account: NewAccount) -> Result<User, StoreError> {
        let created_at = self.file.now();
        let user = User {
            id: UserId::generate(),
            username: account.username,
            role: account.role,
            disabled: false,
            profile: account.profile,
            created_at,
            version: created_at.as_millis(),
            sessions_since: 0,
        };
        let add = sqlx::query(sql::ADD)
            .bind(user.id.to_string())
            .bind(user.username.as_str().to_owned())
            .bind(user.role as u8)
            .bind(account.password_hash.expose_secret().to_owned())
            .bind(user.created_at.as_millis())
            .bind(user.profile.display_name().map(str::to_owned))
            .bind(user.profile.email().map(str::to_owned));
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                add.execute(&mut *transaction).await.map_err(Failure)?;
                let about = |action: &Action| {
                    action.set_user(user.id);
                    action.set_detail(format!("role: {}", user.role));
                };
                audit::commit(transaction, Kind::UserCreate, user.created_at, about)
                    .await
                    .map_err(Failure)?;
                Ok(user)
            })
            .await
    }

    async fn find_by_username(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        let find = sqlx::query(sql::FIND_BY_USERNAME).bind(username.as_str().to_owned());
        self.file
            .in_time(async {
                let row = find
                    .fetch_optional(&mut *self.file.reader().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                row.as_ref().map(account_of).transpose()
            })
            .await
    }

    async fn find(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let find = sqlx::query(sql::FIND).bind(id.to_string());
        self.file
            .in_time(async {
                let row = find
                    .fetch_optional(&mut *self.file.reader().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                row.as_ref().map(account_of).transpose()
            })
            .await
    }

    async fn list(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>, StoreError> {
        // The empty text sorts before every ID.
        let after = after.map_or_else(String::new, |id| id.to_string());
        let list = sqlx::query(sql::LIST).bind(after).bind(limit);
        self.file
            .in_time(async {
                let rows = list
                    .fetch_all(&mut *self.file.reader().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                rows.iter().map(user_of).collect()
            })
            .await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let is_empty = sqlx::query_scalar(sql::IS_EMPTY);
        self.file
            .in_time(async {
                Ok(is_empty
                    .fetch_one(&mut *self.file.reader().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?)
            })
            .await
    }

    async fn change(
        &self,
        id: UserId,
        change: AccountChange,
    ) -> Result<Option<User>, AccountError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let Some(before) = find_user(&mut transaction, id).await? else {
                    return Ok(None);
                };
                let mut after = User {
                    role: change.role.unwrap_or(before.role),
                    disabled: change.disabled.unwrap_or(before.disabled),
                    profile: Profile {
                        display_name: (change.display_name)
                            .unwrap_or_else(|| before.profile.display_name.clone()),
                        email: change.email.unwrap_or_else(|| before.profile.email.clone()),
                    },
                    ..before.clone()
                };
                if after == before {
                    return Ok(Some(before));
                }
                if (after.role, after.disabled) != (before.role, before.disabled) {
                    after.version = self.file.now().as_millis().max(before.version + 1);
                    if after.disabled {
                        after.sessions_since = after.version;
                    }
                }
                if is_in_charge(&before) && !is_in_charge(&after) {
                    others_in_charge(&mut transaction, id).await?;
                }
                sqlx::query(sql::CHANGE)
                    .bind(id.to_string())
                    .bind(after.role as u8)
                    .bind(after.disabled)
                    .bind(after.version)
                    .bind(after.sessions_since)
                    .bind(after.profile.display_name().map(str::to_owned))
                    .bind(after.profile.email().map(str::to_owned))
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                let now = self.file.now();
                let about = |action: &Action| {
                    action.set_user(id);
                    action.set_detail(difference(&before, &after));
                };
                audit::commit(transaction, Kind::UserChange, now, about)
                    .await
                    .map_err(Failure)?;
                Ok(Some(after))
            })
            .await
    }

    async fn replace_password(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        let replace = sqlx::query(sql::REPLACE_PASSWORD)
            .bind(id.to_string())
            .bind(new.expose_secret().to_owned())
            .bind(self.file.now().as_millis())
            .bind(old.expose_secret().to_owned());
        self.file
            .in_time(self.set_hash(id, replace, Kind::PasswordChange))
            .await
    }

    async fn upgrade_hash(
        &self,
        id: UserId,
        old: &SecretString,
        new: &SecretString,
    ) -> Result<bool, StoreError> {
        let upgrade = sqlx::query(sql::UPGRADE_HASH)
            .bind(id.to_string())
            .bind(new.expose_secret().to_owned())
            .bind(old.expose_secret().to_owned());
        self.file
            .in_time(async {
                let upgraded = upgrade
                    .execute(&mut *self.file.writer().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                Ok(upgraded.rows_affected() > 0)
            })
            .await
    }

    async fn set_password(&self, id: UserId, hash: &SecretString) -> Result<bool, StoreError> {
        let set = sqlx::query(sql::SET_PASSWORD)
            .bind(id.to_string())
            .bind(hash.expose_secret().to_owned())
            .bind(self.file.now().as_millis());
        self.file
            .in_time(self.set_hash(id, set, Kind::UserSetPassword))
            .await
    }

    async fn delete(&self, id: UserId) -> Result<bool, AccountError> {
        self.file
            .in_time(async {
                let mut transaction = self.file.begin().await.map_err(Failure)?;
                let Some(user) = find_user(&mut transaction, id).await? else {
                    return Ok(false);
                };
                if is_in_charge(&user) {
                    others_in_charge(&mut transaction, id).await?;
                }
                sqlx::query(sql::DELETE)
                    .bind(id.to_string())
                    .execute(&mut *transaction)
                    .await
                    .map_err(Failure)?;
                let now = self.file.now();
                let about = |action: &Action| action.set_user(id);
                audit::commit(transaction, Kind::UserDelete, now, about)
                    .await
                    .map_err(Failure)?;
                Ok(true)
            })
            .await
    }

    async fn unsettled(&self, limit: u32) -> Result<Vec<User>, StoreError> {
        let unsettled = sqlx::query(sql::UNSETTLED).bind(limit);
        self.file
            .in_time(async {
                let rows = unsettled
                    .fetch_all(&mut *self.file.reader().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                rows.iter().map(user_of).collect()
            })
            .await
    }

    async fn settle(&self, id: UserId, version: i64) -> Result<bool, StoreError> {
        let settle = sqlx::query_scalar(sql::SETTLE)
            .bind(id.to_string())
            .bind(version);
        self.file
            .in_time(async {
                // Fetches all rows: a statement that is not run to completion would hide that its commit failed.
                let versions: Vec<i64> = settle
                    .fetch_all(&mut *self.file.writer().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                Ok(versions.iter().all(|now| *now == version))
            })
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.file
            .in_time(async {
                sqlx::query(sql::IS_EMPTY)
                    .execute(&mut *self.file.reader().await.map_err(Failure)?)
                    .await
                    .map_err(Failure)?;
                // A file that can be read but not written accepts no change of an account and no row of the audit
                // trail.
                self.file.write_probe().await.map_err(Failure)?;
                self.file.is_in_its_place().await
            })
            .await
    }
}

const fn is_in_charge(user: &User) -> bool {
    matches!(user.role, Role::Superuser) && !user.disabled
}

/// Fails if `id` is the only active superuser.
async fn others_in_charge(
    connection: &mut SqliteConnection,
    id: UserId,
) -> Result<(), AccountError> {
    let others = sqlx::query_scalar(sql::OTHERS_IN_CHARGE).bind(id.to_string());
    if others.fetch_one(connection).await.map_err(Failure)? {
        Ok(())
    } else {
        Err(AccountError::LastSuperuser)
    }
}

/// Describes a change of an account, for the audit trail. It does not repeat personal data.
fn difference(before: &User, after: &User) -> String {
    let mut changes = Vec::new();
    if before.role != after.role {
        changes.push(format!("role: {} to {}", before.role, after.role));
    }
    if before.disabled != after.disabled {
        changes.push(String::from(if after.disabled {
            "disabled"
        } else {
            "enabled"
        }));
    }
    if before.profile.display_name != after.profile.display_name {
        changes.push(String::from("display name"));
    }
    if before.profile.email != after.profile.email {
        changes.push(String::from("email"));
    }
    changes.join(", ")
}
