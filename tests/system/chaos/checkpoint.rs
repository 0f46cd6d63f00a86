//! Compares the content of Redis, the metrics of the replicas, and the responses that clients got.

use std::{collections::BTreeMap, time::Duration};

use skriptoteket_testing::page::Page;
use tokio::time::{Instant, sleep};

use crate::chaos::{
    enumeration::{Counts, Enumeration},
    faults::Victims,
    model::{Bounds, Millis, Model},
    operator::{Operator, ROLES},
    world::{World, now},
};

const REASONS: [&str; 7] = [
    "logout",
    "idle",
    "absolute",
    "revoked",
    "evicted",
    "role_changed",
    "lost",
];
/// The lease of a killed replica has to expire before another replica observes.
const OBSERVER: Duration = Duration::from_mins(1);
/// Time until background work is finished: the store timeout and a tick of the reaper, doubled for a busy machine.
const QUIET: Duration = Duration::from_millis(2_600);
/// Maximum time until a count is visible: a census interval, with room for a busy machine.
const COUNTED: Duration = Duration::from_secs(30);
/// An expired session is ended within a tick of the reaper, later on a busy machine.
const REAPED: Millis = 5_000;
/// Number of ended sessions that are tried again.
const DEAD: usize = 40;

/// The values at the last checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    totals: BTreeMap<String, f64>,
    started: u64,
    logged_out: u64,
    bounds: Bounds,
}

/// Waits until one replica observes and all report that their counts are current.
pub(crate) async fn wait_for_observer(victims: &Victims) -> Result<(), String> {
    let started_at = Instant::now();
    loop {
        let pages = victims.replicas.pages().await;
        let result = observer(&pages).map(drop);
        if result.is_ok() || started_at.elapsed() > OBSERVER {
            return result;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Returns the page of the only replica that observes.
pub(crate) fn observer(pages: &[Page]) -> Result<&Page, String> {
    let up = |page: &&Page| page.get("skriptoteket_session_census_up") == Some(1.0);
    let is_one = |page: &&Page| page.get("skriptoteket_session_observer") == Some(1.0);
    let shown = |page: &&Page| page.get("skriptoteket_active_sessions").is_some();
    let (ups, observers) = (
        pages.iter().filter(up).count(),
        pages.iter().filter(is_one).count(),
    );
    let gauges = pages.iter().filter(shown).count();
    if ups < pages.len() || observers != 1 || gauges != 1 {
        return Err(format!(
            "of {} replicas {ups} are up, {observers} observe, {gauges} show gauges",
            pages.len()
        ));
    }
    Ok(pages.iter().find(is_one).unwrap())
}

/// Compares everything while no client acts and no fault is active. Returns the line to print.
pub(crate) async fn compare(
    world: &World,
    victims: &Victims,
    operator: &mut Operator,
    seen: &mut Seen,
) -> Result<String, String> {
    operator.review_accounts().await?;
    sleep(QUIET).await;
    operator.learn_ids().await;
    world.model().settle(now());
    let mut wire = victims.redis.wire();
    let before = Enumeration::read(&mut wire);
    let pages = counted_after(victims, before.now).await?;
    let after = Enumeration::read(&mut wire);
    for enumeration in [&before, &after] {
        if let Some(fault) = enumeration.faults().first() {
            let n = enumeration.faults().len();
            return Err(format!("{n} differences in Redis, the first: {fault}"));
        }
    }
    let page = observer(&pages)?;
    compare_counts(page, &before, &after)?;
    compare_totals(page, &before, &after)?;
    compare_durations(&pages, &after)?;
    only_forward(&pages, seen)?;
    let told = compare_model(&world.model(), &after, seen)?;
    let checked = operator.check_sessions(DEAD).await;
    let counts = after.counts_at(after.now);
    let (started, ended) = after.logins();
    let ended: u64 = ended[..5].iter().sum();
    Ok(format!(
        "sessions {:?} users {:?}; {started} started, {ended} ended; {told}; {checked} sessions tried",
        counts.sessions, counts.users
    ))
}

/// Returns the pages once the observing replica shows a count taken after this moment.
async fn counted_after(victims: &Victims, moment: Millis) -> Result<Vec<Page>, String> {
    let started_at = Instant::now();
    loop {
        let asked = now();
        let pages = victims.replicas.pages().await;
        let result = observer(&pages);
        if let Ok(page) = &result
            && counted_from(page, asked) > moment
        {
            return Ok(pages);
        }
        if started_at.elapsed() > COUNTED {
            result?;
            return Err("no new count was exported in time".into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Returns the earliest moment at which the count on a page can have been taken. The page was requested at `asked` and
/// written then or later. Its age is counted from the query, which Redis answered later still.
fn counted_from(page: &Page, asked: Millis) -> Millis {
    let age = page.value("skriptoteket_session_census_age_seconds");
    #[expect(clippy::cast_possible_truncation, reason = "the age is in seconds")]
    let age = (age * 1_000.0).ceil() as Millis;
    asked - age
}

/// Returns the values of the gauges.
pub(crate) fn gauges(page: &Page) -> Counts {
    let of = |name: &str| {
        ROLES.map(|role| whole(page.value(&format!("skriptoteket_{name}{{role=\"{role}\"}}"))))
    };
    Counts {
        sessions: of("sessions_by_role"),
        users: of("users_by_role"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole numbers"
)]
fn whole(value: f64) -> u64 {
    assert!(
        value >= 0.0 && value.fract() == 0.0,
        "{value} is not a count"
    );
    value as u64
}

/// While sessions only expire, the gauges equal the enumeration at one of the moments in question.
fn compare_counts(page: &Page, before: &Enumeration, after: &Enumeration) -> Result<(), String> {
    let shown = gauges(page);
    let sum: u64 = shown.sessions.iter().sum();
    if whole(page.value("skriptoteket_active_sessions")) != sum {
        return Err("active_sessions is not the sum of the roles".into());
    }
    let (from, to) = (before.now, after.now);
    let ends = before.records.values().map(|(entry, _)| entry.expires);
    let mut moments: Vec<Millis> = ends.filter(|it| (from..=to).contains(it)).collect();
    moments.push(from);
    if moments.iter().any(|it| before.counts_at(*it) == shown) {
        return Ok(());
    }
    let counted = before.counts_at(from);
    Err(format!(
        "exported {shown:?}, counted {counted:?} ({} expired meanwhile)",
        moments.len() - 1
    ))
}

/// The exported totals of started and ended lie between those in Redis before and after. Started − ended − live have
/// just expired.
fn compare_totals(page: &Page, before: &Enumeration, after: &Enumeration) -> Result<(), String> {
    let live = gauges(page).sessions;
    for (role, name) in ROLES.iter().enumerate() {
        let started = whole(page.value(&format!(
            "skriptoteket_sessions_started_total{{role=\"{name}\"}}"
        )));
        let mut all_ended = 0;
        for (reason, why) in REASONS.iter().enumerate() {
            let series =
                format!("skriptoteket_sessions_ended_total{{role=\"{name}\",reason=\"{why}\"}}");
            let ended = whole(page.value(&series));
            all_ended += ended;
            let bounds = before.ended[role][reason]..=after.ended[role][reason];
            if !bounds.contains(&ended) {
                return Err(format!(
                    "{name}: {ended} ended with reason {why}, in Redis {bounds:?}"
                ));
            }
        }
        let bounds = before.started[role]..=after.started[role];
        if !bounds.contains(&started) {
            return Err(format!("{name}: {started} started, in Redis {bounds:?}"));
        }
        let due = |(entry, _): &&(crate::chaos::enumeration::Entry, String)| {
            entry.role == role && (before.now - REAPED..=after.now).contains(&entry.expires)
        };
        let due = before.records.values().filter(due).count() as u64;
        let left = i128::from(started) - i128::from(all_ended) - i128::from(live[role]);
        if !(0..=i128::from(due)).contains(&left) {
            return Err(format!(
                "{name}: started − ended − live = {left}, {due} have just expired"
            ));
        }
    }
    Ok(())
}

/// The duration of a session is recorded at most once for each end, by one replica. Killed replicas lost the durations
/// that they had recorded.
fn compare_durations(pages: &[Page], after: &Enumeration) -> Result<(), String> {
    let (_, ended) = after.logins();
    for (why, ended) in REASONS.iter().zip(ended) {
        let name = "skriptoteket_session_duration_seconds_count";
        let reason = format!("reason=\"{why}\"");
        let recorded: u64 = pages.iter().map(|it| whole(it.sum(name, &reason))).sum();
        if recorded > ended {
            return Err(format!(
                "{recorded} durations with reason {why} were recorded, but {ended} sessions ended"
            ));
        }
    }
    Ok(())
}

/// The totals of the service never decrease, whichever replica exports them.
fn only_forward(pages: &[Page], seen: &mut Seen) -> Result<(), String> {
    for page in pages {
        for name in [
            "skriptoteket_sessions_started_total",
            "skriptoteket_sessions_ended_total",
        ] {
            for series in page.series_of(name) {
                let value = page.value(series);
                let last = seen.totals.entry(series.to_owned()).or_default();
                if *last > value && page.get("skriptoteket_session_observer") == Some(1.0) {
                    return Err(format!("{series} decreased from {last} to {value}"));
                }
                *last = last.max(value);
            }
        }
    }
    Ok(())
}

/// A session that was reported to a client exists, or it ended for a reason. A session reported as gone does
/// not exist.
fn compare_model(model: &Model, found: &Enumeration, seen: &mut Seen) -> Result<String, String> {
    let (mut live, mut gone) = (0, 0);
    let margin = 50;
    for held in &model.held {
        let record = found
            .records
            .get(&held.id)
            .filter(|(it, _)| it.expires > found.now);
        let who = format!("session {} of {}", held.id, model.accounts[held.user].name);
        match record {
            Some(_) if held.dead.is_some() => {
                return Err(format!("{who} has ended but still exists"));
            }
            Some((entry, _)) => {
                let roles = &model.accounts[held.user].roles;
                if roles.len() == 1 && roles[0] != ROLES[entry.role] {
                    return Err(format!(
                        "{who} has the role {}, its account {}",
                        ROLES[entry.role], roles[0]
                    ));
                }
                live += 1;
            }
            None if !model.may_be_dead(held, found.now + margin) => {
                return Err(format!("{who} is gone for no reason"));
            }
            None => gone += 1,
        }
    }
    let (bounds, before) = (model.bounds, seen.bounds);
    let (started, ended) = found.logins();
    let least = bounds.started - before.started;
    let may = least..=least + bounds.perhaps_started - before.perhaps_started;
    let n = started - seen.started;
    if !may.contains(&n) {
        return Err(format!(
            "{n} sessions were started since the last checkpoint, clients know of {may:?}"
        ));
    }
    let least = bounds.logged_out - before.logged_out;
    let may = least..=bounds.perhaps_logged_out - before.perhaps_logged_out;
    let n = ended[0] - seen.logged_out;
    if !may.contains(&n) {
        return Err(format!(
            "{n} logouts since the last checkpoint, clients know of {may:?}"
        ));
    }
    (seen.started, seen.logged_out, seen.bounds) = (started, ended[0], bounds);
    let known: std::collections::BTreeSet<&str> =
        model.held.iter().map(|it| it.id.as_str()).collect();
    let all = found
        .records
        .iter()
        .filter(|(_, (it, _))| it.expires > found.now);
    let orphans = all.filter(|(id, _)| !known.contains(id.as_str())).count() as u64;
    if orphans > bounds.perhaps_started + bounds.perhaps_orphaned {
        return Err(format!("{orphans} live sessions that no client knows of"));
    }
    Ok(format!(
        "clients hold {live}, {gone} gone, {orphans} without a client"
    ))
}
