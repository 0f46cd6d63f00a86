//! The statements on accounts.

/// The columns of an account. They are named instead of `*`: a newer process may have added columns.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, username, role, disabled, password_hash, created_at, version, \
             sessions_since, display_name, email FROM accounts ",
            $rest
        )
    };
}

pub(super) const ADD: &str = "INSERT INTO accounts \
    (id, username, role, disabled, password_hash, created_at, version, unsettled, sessions_since, \
     display_name, email) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?5, 0, 0, ?6, ?7)";
pub(super) const FIND_BY_USERNAME: &str = select!("WHERE username = ?1");
pub(super) const FIND: &str = select!("WHERE id = ?1");
pub(super) const LIST: &str = select!("WHERE id > ?1 ORDER BY id LIMIT ?2");
pub(super) const IS_EMPTY: &str = "SELECT NOT EXISTS (SELECT 1 FROM accounts)";
/// `?4`: the version. The account is unsettled if it is a new one.
pub(super) const CHANGE: &str = "UPDATE accounts \
    SET role = ?2, disabled = ?3, version = ?4, unsettled = unsettled OR version <> ?4, \
    sessions_since = ?5, display_name = ?6, email = ?7 WHERE id = ?1";
pub(super) const OTHERS_IN_CHARGE: &str = "SELECT EXISTS \
    (SELECT 1 FROM accounts WHERE role = 3 AND disabled = 0 AND id <> ?1)";

/// Sets `?2`, and ends the earlier sessions. `?3`: the current time.
macro_rules! set_password {
    ($rest:literal) => {
        concat!(
            "UPDATE accounts SET password_hash = ?2, version = max(version + 1, ?3), unsettled = 1, \
             sessions_since = max(version + 1, ?3) WHERE id = ?1",
            $rest
        )
    };
}

/// `?4`: the previous hash.
pub(super) const REPLACE_PASSWORD: &str = set_password!(" AND password_hash = ?4");
pub(super) const SET_PASSWORD: &str = set_password!("");
pub(super) const UPGRADE_HASH: &str =
    "UPDATE accounts SET password_hash = ?2 WHERE id = ?1 AND password_hash = ?3";
pub(super) const DELETE: &str = "DELETE FROM accounts WHERE id = ?1";
pub(super) const UNSETTLED: &str = select!("WHERE unsettled = 1 ORDER BY id LIMIT ?1");
pub(super) const SETTLE: &str = "UPDATE accounts \
    SET unsettled = CASE WHEN version = ?2 THEN 0 ELSE unsettled END WHERE id = ?1 RETURNING version";

#[cfg(test)]
mod tests {
    use super::{super::plans::assert_indexed, *};

    #[tokio::test]
    async fn no_statement_reads_the_whole_table() {
        assert_indexed(&[
            FIND_BY_USERNAME,
            FIND,
            LIST,
            CHANGE,
            OTHERS_IN_CHARGE,
            REPLACE_PASSWORD,
            SET_PASSWORD,
            DELETE,
            UNSETTLED,
            SETTLE,
        ])
        .await;
    }
}
