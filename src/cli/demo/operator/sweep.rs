//! Deletes what demos have made at a service.

use reqwest::Method;
use serde::Deserialize;

use super::{Operator, Service, Services, User, paged};
use crate::cli::demo::api::Request;

/// How often what is to be deleted is listed and deleted before it is given up: what was asked for before a connection
/// broke may be made later.
const SWEEPS: u32 = 5;

/// What a demo makes at a service.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::demo) enum Made<'a> {
    /// An account.
    Account {
        /// Its login name.
        username: &'a str,
    },
    /// A service.
    Service {
        /// Its id.
        id: &'a str,
        /// What it is registered as.
        description: &'a str,
    },
}

impl Made<'_> {
    /// What it is called.
    pub(in crate::cli::demo) const fn name(&self) -> &str {
        match self {
            Self::Account { username } => username,
            Self::Service { id, .. } => id,
        }
    }
}

/// A page of the list of accounts.
#[derive(Debug, Deserialize)]
struct Users {
    users: Vec<User>,
    next_cursor: Option<String>,
}

impl Operator {
    /// Deletes accounts and services by what they are called, until none is listed any more: also those that another
    /// operator made, and those whose making was not answered. Returns how many were deleted.
    ///
    /// # Errors
    ///
    /// If they cannot be listed or deleted.
    pub(in crate::cli::demo) async fn sweep(
        &mut self,
        is_ours: impl Fn(&Made<'_>) -> bool,
    ) -> anyhow::Result<usize> {
        let mut deleted = 0;
        for _ in 0..SWEEPS {
            let paths = self.made(&is_ours).await?;
            if paths.is_empty() {
                return Ok(deleted);
            }
            for path in paths {
                let request = Request {
                    method: Method::DELETE,
                    path: &path,
                    body: None,
                    expected: &[204, 404],
                };
                let answer = self.send(request).await;
                deleted += usize::from(answer.is_some_and(|it| it.status == 204));
            }
        }
        let left = self.made(&is_ours).await?.len();
        anyhow::ensure!(left == 0, "{left} accounts or services cannot be deleted");
        Ok(deleted)
    }

    /// The paths of the accounts and services that these are.
    async fn made(&mut self, is_ours: impl Fn(&Made<'_>) -> bool) -> anyhow::Result<Vec<String>> {
        let mut paths = Vec::new();
        let list: Services = self.list("api/admin/services").await?;
        for Service {
            id, description, ..
        } in &list.services
        {
            if is_ours(&Made::Service { id, description }) {
                paths.push(format!("api/admin/services/{id}"));
            }
        }
        let mut cursor = None;
        loop {
            let page: Users = self
                .list(&paged("api/admin/users", cursor.as_deref()))
                .await?;
            for User { id, username } in &page.users {
                if is_ours(&Made::Account { username }) {
                    paths.push(format!("api/admin/users/{id}"));
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(paths);
            }
        }
    }
}
