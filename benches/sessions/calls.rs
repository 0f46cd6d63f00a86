//! The cost of each repository call.

use std::{future::Future, time::Duration, time::Instant};

use anyhow::{Context, ensure};
use skriptoteket::{
    accounts::{Role, UserId},
    error::StoreError,
    sessions::{EndReason, RoleUpdate, SessionId},
};
use skriptoteket_testing::{load::median, redis::RedisServer};

use super::{
    Meter, Population, Scale,
    population::{IN_FLIGHT, in_flight, session_of},
};

/// Sessions per user in the calls that change or end all of them at once.
const OF_ONE_USER: u64 = 5;

/// Calls made one after the other, for the duration of a single call without other load.
const ALONE: usize = 500;

/// The idle timeout of the sessions in this part.
const IDLE: Duration = Duration::from_hours(1);

/// Measures calls and prints a row for each kind.
struct Table {
    meter: Meter,
}

impl Table {
    /// Makes a call for each item: some alone, the rest [`IN_FLIGHT`] at a time. Returns all results.
    async fn row<T, R, F>(
        &mut self,
        name: &str,
        mut items: Vec<T>,
        call: impl Fn(T) -> F,
    ) -> anyhow::Result<Vec<R>>
    where
        F: Future<Output = Result<R, StoreError>>,
    {
        let at_once = items.split_off(ALONE.min(items.len() / 2));
        let (mut answers, mut alone) = (Vec::new(), Vec::new());
        for item in items {
            let started_at = Instant::now();
            answers.push(call(item).await?);
            alone.push(started_at.elapsed().as_secs_f64());
        }
        let count = at_once.len() as f64;
        let before = self.meter.read()?;
        let started_at = Instant::now();
        answers.extend(in_flight(at_once, call).await?);
        let seconds = started_at.elapsed().as_secs_f64();
        let spent = self.meter.since(&before)?;
        println!(
            "| {name} | {:.0} µs | {:.0} µs | {:.0} µs | {:.0} |",
            spent.executing() / count,
            spent.cpu / count,
            median(alone) * 1e6,
            count / seconds,
        );
        Ok(answers)
    }
}

/// Measures each call, and leaves the sessions unchanged.
pub(crate) async fn measure(
    population: &Population,
    redis: &RedisServer,
    scale: Scale,
) -> anyhow::Result<()> {
    let sessions = &population.stores.sessions;
    let mut table = Table {
        meter: Meter::open(&redis.url())?,
    };
    println!(
        "\n## Calls, with {} live sessions\n",
        super::counting::thousands(population.size)
    );
    println!(
        "| call | executing in Redis | Redis's time in all | answered in, alone | calls per second, {IN_FLIGHT} at a time |\n|---|---:|---:|---:|---:|"
    );

    let news: Vec<u64> = (0..scale.calls as u64).collect();
    let start = |n| async move {
        let new = session_of(UserId::generate(), n, IDLE);
        let (started, _) = sessions.create(new, 10).await?;
        Ok(started.id)
    };
    let ids: Vec<SessionId> = table.row("start", news, start).await?;
    table
        .row("check", ids.clone(), |id| async move {
            sessions
                .load(&id)
                .await?
                .map(drop)
                .ok_or(StoreError::Conflict)
        })
        .await
        .context("all are live")?;
    table
        .row(
            "refresh (at most once a minute)",
            ids.clone(),
            |id| async move {
                let step = Duration::from_millis(1);
                sessions
                    .touch(&id, 2 * IDLE, step)
                    .await?
                    .map(drop)
                    .ok_or(StoreError::Conflict)
            },
        )
        .await
        .context("all are live")?;
    table
        .row("logout", ids, |id| async move {
            sessions
                .end(&id, EndReason::Logout)
                .await?
                .map(drop)
                .ok_or(StoreError::Conflict)
        })
        .await
        .context("all are live")?;

    let users: Vec<UserId> = (0..scale.calls / 10).map(|_| UserId::generate()).collect();
    in_flight(users.clone(), |user| async move {
        for _ in 0..OF_ONE_USER {
            sessions.create(session_of(user, 50, IDLE), 10).await?;
        }
        Ok(())
    })
    .await?;
    let moved = table
        .row(
            "change the role of a user with 5 sessions",
            users.clone(),
            |user| sessions.set_role(user, RoleUpdate::new(Role::Admin, 1)),
        )
        .await?;
    ensure!(
        moved.iter().all(|moved| moved.moved() == OF_ONE_USER),
        "all roles were changed"
    );
    let ended = table
        .row("revoke all 5 sessions of a user", users, |user| {
            sessions.end_user(user, EndReason::Revoked, None)
        })
        .await?;
    ensure!(
        ended.iter().all(|ended| ended.len() as u64 == OF_ONE_USER),
        "all were ended"
    );
    let left = sessions.census().await?.sessions.iter().sum::<u64>();
    ensure!(left == population.size, "{left} are left");
    Ok(())
}
