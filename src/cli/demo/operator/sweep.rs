//! Deletes what demos have created at a service.

use reqwest::Method;
use serde::Deserialize;

use super::{Operator, Service, Services, User, paged};
use crate::cli::demo::api::Request;

/// Maximum number of rounds of listing and deleting: what was requested before a connection broke may be created
/// later.
const SWEEPS: u32 = 5;

/// What a demo creates at a service.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::demo) enum Made<'a> {
    /// An account.
    Account { username: &'a str },
    /// A service.
    Service { id: &'a str, description: &'a str },
}

impl Made<'_> {
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
    /// Deletes accounts and services by name, until none is listed any more: including those that another operator
    /// created, and those whose creation got no response. Returns the number of deletions.
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

    /// Returns the paths of the matching accounts and services.
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
