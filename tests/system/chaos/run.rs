//! The run: actors, duration, and report.
//!
//! `CHAOS_SECONDS` is the duration (60). `CHAOS_SEED` decides who does what and which faults occur (default: from the
//! clock). The same seed makes the same choices; their outcome depends on the machine.

use std::{sync::Arc, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use skriptoteket_testing::{
    isolation::have_the_machine, redis::RedisServer, service::PASSWORD, variables::number,
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use crate::chaos::{
    checkpoint::{self, Seen},
    faults::{Victims, go_wrong},
    model::Model,
    operator::{Operator, crowd},
    replicas::Replicas,
    rules::{Account, Settings},
    world::World,
};

const REPLICAS: usize = 3;
const USERS: usize = 60;
const PEOPLE: usize = 8;

/// The same values as in `settings`.
const RULES: Settings = Settings {
    idle: 6_000,
    absolute: 15_000,
    remember: 30_000,
    per_user: 4,
    margin: 3_000,
};

/// Starts Redis as the documentation recommends. Returns it with the settings of the replicas.
fn redis() -> (RedisServer, Vec<(&'static str, String)>) {
    let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let settings = vec![
        ("redis_url", redis.url()),
        // The defaults: that requests are rejected in time is part of the test.
        ("store_timeout", "500ms".into()),
        ("redis_connect_timeout", "1s".into()),
        ("census_interval", "500ms".into()),
        ("session_idle_timeout", "6s".into()),
        ("session_absolute_timeout", "15s".into()),
        ("session_remember_timeout", "30s".into()),
        ("max_sessions_per_user", "4".into()),
        // A burst of guesses locks an account, but not for the whole run.
        ("guard_account_attempts", "6".into()),
        ("guard_lock", "1s".into()),
        ("guard_longest_lock", "2s".into()),
        ("guard_account_regain", "500ms".into()),
        ("guard_address_regain", "100ms".into()),
    ];
    (redis, settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_goes_wrong_the_counts_are_exact_and_nobody_is_told_a_lie() {
    let _alone = have_the_machine().await;
    let seconds = number("CHAOS_SECONDS").unwrap_or(60);
    let seed = number("CHAOS_SEED").unwrap_or_else(|| crate::chaos::world::now().unsigned_abs());
    eprintln!("chaos: {seconds} s, CHAOS_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (redis, settings) = redis();
    let settings: Vec<(&'static str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let replicas = Replicas::start(REPLICAS, &settings).await;
    let admin = Account::new("admin".into(), String::new(), "superuser", PASSWORD);
    let world = Arc::new(World::new(replicas.ports(), Model::new(RULES, vec![admin])));
    let mut operator = Operator::new(Arc::clone(&world), rng.random());
    operator.make_accounts(USERS).await;
    let victims = Arc::new(Mutex::new(Victims { replicas, redis }));

    let result = run(&world, &victims, &mut operator, &mut rng, seconds).await;
    let mut victims = victims.lock().await;
    let result = match result {
        Ok(()) => end(&mut victims).await,
        err => err,
    };
    let journal = world.journal();
    eprint!("{}", journal.summary());
    if let Err(difference) = result {
        let names = concerned(&world.model(), &difference);
        panic!(
            "{difference}\nCHAOS_SEED={seed}; the last events:\n{}those of {names:?}:\n{}{}",
            journal.last_events(),
            journal.events_of(&names),
            victims.replicas.logs()
        );
    }
}

/// Returns what identifies the user of a difference in the journal: the address, the id and the name.
fn concerned(model: &Model, difference: &str) -> Vec<String> {
    let words: Vec<&str> = difference.split([' ', ',']).collect();
    let mut accounts = model.accounts.iter().enumerate();
    let found = accounts.find(|(_, it)| words.contains(&it.name.as_str()));
    let Some((n, account)) = found else {
        return Vec::new();
    };
    let [id, name] = [&account.id, &account.name].map(|it| format!("/{it}"));
    let mut names = vec![format!("[{n}]")];
    names.extend([id, name].into_iter().filter(|it| it.len() > 1));
    names
}

async fn run(
    world: &Arc<World>,
    victims: &Arc<Mutex<Victims>>,
    operator: &mut Operator,
    rng: &mut StdRng,
    seconds: u64,
) -> Result<(), String> {
    let started_at = Instant::now();
    let mut tasks = crowd(world, rng, PEOPLE);
    let of_faults = StdRng::seed_from_u64(rng.random());
    tasks.push(tokio::spawn(go_wrong(
        Arc::clone(world),
        Arc::clone(victims),
        of_faults,
    )));
    let mut seen = Seen::default();
    let (mut result, mut stretches) = (Ok(()), 0);
    while result.is_ok() && started_at.elapsed() < Duration::from_secs(seconds) {
        let pause = Duration::from_millis(rng.random_range(6_000..12_000));
        let left = Duration::from_secs(seconds).saturating_sub(started_at.elapsed());
        // One in three is calm: every request gets a response, and the counts must match exactly.
        let mut calm = None;
        stretches += 1;
        if stretches % 3 == 1 {
            calm = Some(victims.lock().await);
            world.journal().count("faults", "no fault for a while");
        }
        result = sleep_unless_violated(world, pause.min(left)).await;
        if tasks.iter().any(tokio::task::JoinHandle::is_finished) {
            result = result.and(Err("a task of the run has panicked".into()));
        }
        if result.is_ok() {
            // No fault is active from here on. Users continue while a new observer takes over.
            let victims = match calm {
                Some(victims) => victims,
                None => victims.lock().await,
            };
            result = one_checkpoint(world, &victims, operator, &mut seen, started_at).await;
        }
    }
    // No fault is active while this is held, so none remains active.
    let _whole = victims.lock().await;
    for task in &tasks {
        task.abort();
    }
    result
}

async fn sleep_unless_violated(world: &World, pause: Duration) -> Result<(), String> {
    let started_at = Instant::now();
    while started_at.elapsed() < pause {
        sleep(Duration::from_millis(100)).await;
        world.journal().violation().map_or(Ok(()), Err)?;
    }
    Ok(())
}

async fn one_checkpoint(
    world: &World,
    victims: &Victims,
    operator: &mut Operator,
    seen: &mut Seen,
    started_at: Instant,
) -> Result<(), String> {
    checkpoint::wait_for_observer(victims).await?;
    let closed = timeout(Duration::from_mins(1), world.checkpoint_lock.write()).await;
    let _closed = closed.map_err(|_| "requests have been in progress for a minute")?;
    let told = checkpoint::compare(world, victims, operator, seen).await;
    let violation = world.journal().violation();
    let line = violation.map_or(told, Err)?;
    world.journal().count("checkpoints", "passed");
    eprintln!(
        "chaos: {:5.1} s  {line}",
        started_at.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Stops everything within the time limit. The integrity check must find nothing.
async fn end(victims: &mut Victims) -> Result<(), String> {
    let (code, text) = victims.replicas.command(&["session", "verify"]);
    if code != Some(0) {
        return Err(format!("session verify ended with {code:?}:\n{text}"));
    }
    let faults = victims.replicas.stop().await;
    if !faults.is_empty() {
        return Err(faults.join("\n"));
    }
    Ok(())
}
