//! `kill -9` during requests: totals and quotas equal the responses, and what was used up or revoked stays so.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use serde_json::json;
use skriptoteket_testing::{
    http::{builder, plain},
    operator::{Caller, Operator, OwnKey, UNLIMITED, assert_to},
    redis::RedisServer,
    service::Service,
};
use tokio::{task::JoinSet, time};

/// More than a test can use up.
const QUOTA: u32 = 1_000_000;
const DRIVERS: u32 = 4;

/// The maximum number of services, and how many of them a round may register: a fast machine would reach the maximum.
const SERVICES: (&str, &str) = ("max_services", "1000");
const REGISTERED_IN_A_ROUND: u32 = 300;

/// Time limit of the waits in these tests.
const TIME_LIMIT: Duration = Duration::from_mins(2);

/// The responses so far. For each driver one more request may have been carried out whose response was lost.
#[derive(Default)]
struct Answered {
    tokens: AtomicU32,
    registrations: AtomicU32,
    rotations: AtomicU32,
    /// Tells the drivers to send no more requests.
    enough: AtomicBool,
}

fn settings<'a>(more: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
    let common = [
        ("store_timeout", "10s"),
        // The same issuer, whatever the port after a restart.
        ("public_url", "http://127.0.0.1:1"),
        SERVICES,
    ];
    [&UNLIMITED[..], &common, more].concat()
}

/// Returns the rest of the caller's quota, as a server reports it. The request itself costs one.
async fn left(server: &Service, caller: &Caller) -> u32 {
    let answer = caller.token_request(&plain(), server).send().await.unwrap();
    let told = answer.headers()["ratelimit"].to_str().unwrap();
    let daily = told.split("\"daily_quota\";r=").nth(1).unwrap();
    daily.split(';').next().unwrap().parse().unwrap()
}

/// Sends requests to `server` until it is gone, or until `enough` is set.
fn drive(tasks: &mut JoinSet<()>, server: &Service, caller: &Caller, answered: &Arc<Answered>) {
    let http = builder().timeout(TIME_LIMIT).build().unwrap();
    for _ in 0..DRIVERS {
        let request = caller.token_request(&http, server);
        let answered = Arc::clone(answered);
        tasks.spawn(async move {
            while let Ok(answer) = request.try_clone().unwrap().send().await {
                assert_eq!(answer.status(), 200);
                answered.tokens.fetch_add(1, SeqCst);
                if answered.enough.load(SeqCst) {
                    return;
                }
            }
        });
    }
}

/// Waits until this number of token responses has arrived.
async fn until_answered(answered: &Answered, tokens: u32) {
    let enough = async {
        while answered.tokens.load(SeqCst) < tokens {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = time::timeout(TIME_LIMIT, enough).await;
    waited.unwrap_or_else(|_| panic!("{:?} of {tokens} tokens", answered.tokens));
}

/// Registers services and rotates the secret of each once, until the server is gone or there are enough.
async fn operate(operator: Operator, round: u32, answered: Arc<Answered>) {
    for n in 0..REGISTERED_IN_A_ROUND {
        let id = format!("service-{round}-{n}");
        let Ok(answer) = operator.try_register(&id, json!({})).await else {
            return;
        };
        assert_eq!(answer.status(), 201, "{id}");
        answered.registrations.fetch_add(1, SeqCst);
        let Ok(answer) = operator.try_rotate(&id, Some(60)).await else {
            return;
        };
        assert_eq!(answer.status(), 200, "{id}");
        answered.rotations.fetch_add(1, SeqCst);
    }
}

/// Waits if a daily quota could be reset during the test, shortly before midnight (UTC).
async fn stay_away_from_midnight() {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let left = 86_400 - now.as_secs() % 86_400;
    if left < 60 {
        time::sleep(Duration::from_secs(left + 1)).await;
    }
}

async fn compare_totals(server: &Service, operator: &Operator, answered: &Answered, round: u32) {
    let services = operator.all().await;
    let registered = u32::try_from(services.len()).unwrap();
    let credentials = services.iter().map(|it| it["credentials"].as_array());
    let rotated = credentials.filter(|it| it.unwrap().len() == 2).count();
    let rotated = u32::try_from(rotated).unwrap();
    // In each round one response may have been lost.
    let known = answered.registrations.load(SeqCst);
    assert!(
        (known..=known + round).contains(&registered),
        "{registered} of {known}"
    );
    let known = answered.rotations.load(SeqCst);
    assert!(
        (known..=known + round).contains(&rotated),
        "{rotated} of {known}"
    );

    let registrations = r#"skriptoteket_service_registrations_total{event="registered"}"#;
    let rotations = r#"skriptoteket_credential_rotations_total{result="success"}"#;
    let page = server
        .page_where("the totals equal the list", |page| {
            page.get(registrations) == Some(f64::from(registered))
        })
        .await;
    assert_eq!(page.value(rotations), f64::from(rotated), "round {round}");
    assert_eq!(
        page.sum("skriptoteket_services_by_health", "health"),
        f64::from(registered)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_totals_are_what_is_registered_and_quotas_what_was_used() {
    stay_away_from_midnight().await;
    let dir = tempfile::tempdir().unwrap();
    let mut server = Service::start(dir.path(), &settings(&[])).await;
    let operator = Operator::of(&server).await;
    let caller = operator
        .register("orders", json!({"daily_quota": QUOTA}))
        .await;
    let answered = Arc::new(Answered::default());
    answered.registrations.fetch_add(1, SeqCst);
    for round in 1..=3 {
        let operator = Operator::of(&server).await;
        let before = answered.tokens.load(SeqCst);
        let mut tasks = JoinSet::new();
        drive(&mut tasks, &server, &caller, &answered);
        tasks.spawn(operate(operator, round, Arc::clone(&answered)));
        until_answered(&answered, before + 100).await;
        server = server.kill_and_restart().await;
        tasks.join_all().await;

        let operator = Operator::of(&server).await;
        compare_totals(&server, &operator, &answered, round).await;
        let known = answered.tokens.load(SeqCst);
        let used = QUOTA - left(&server, &caller).await - 1;
        let lost = used.checked_sub(known).unwrap();
        assert!(
            lost <= DRIVERS,
            "round {round}: {used} used, {known} answered"
        );
        // Requests whose response was lost are counted from here on.
        answered.tokens.fetch_add(lost + 1, SeqCst);
    }
}

async fn two_replicas(dir: &Path, url: &str) -> [Service; 2] {
    let settings = settings(&[("redis_url", url)]);
    [
        Service::start(dir, &settings).await,
        Service::start(dir, &settings).await,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_takes_no_quota_with_it() {
    stay_away_from_midnight().await;
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(&[]);
    let [mut killed, other] = two_replicas(dir.path(), &redis.url()).await;
    let operator = Operator::of(&other).await;
    let caller = operator
        .register("orders", json!({"daily_quota": QUOTA}))
        .await;
    let answered = Arc::new(Answered::default());
    // The other replica has registered the service, and this one knows it at once.
    assert_eq!(
        caller
            .token_request(&plain(), &killed)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    let start = QUOTA - left(&other, &caller).await;

    let (mut first, mut second) = (JoinSet::new(), JoinSet::new());
    drive(&mut first, &killed, &caller, &answered);
    drive(&mut second, &other, &caller, &answered);
    until_answered(&answered, 200).await;
    killed = killed.kill_and_restart().await;
    first.join_all().await;
    // These continued meanwhile, and none of their responses is lost.
    answered.enough.store(true, SeqCst);
    second.join_all().await;

    let known = start + answered.tokens.load(SeqCst);
    let used = QUOTA - left(&killed, &caller).await - 1;
    assert!(
        (known..=known + DRIVERS).contains(&used),
        "{used} used, {known} answered"
    );
    assert_eq!(
        QUOTA - left(&other, &caller).await,
        used + 2,
        "both replicas see the same"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_what_was_revoked_or_used_up_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Service::start(dir.path(), &settings(&[])).await;
    let keys = OwnKey::generate(rand::random());
    let operator = Operator::of(&server).await;
    let caller = operator
        .register("orders", json!({"public_keys": keys.public()}))
        .await;
    let http = plain();
    let (good, mut revoked, mut used) = (caller.token(&http, &server).await, vec![], vec![]);
    for round in 1..=3 {
        let token = caller.token(&http, &server).await;
        let jti = format!("round-{round}");
        let assertion = keys.assertion("orders", "http://127.0.0.1:1", &jti);
        assert_eq!(assert_to(&http, &server, &assertion).await.status(), 200);
        used.push(assertion);
        caller.revoke(&http, &server, &token).await;
        revoked.push(token);
        // Immediately after the response.
        server = server.kill_and_restart().await;

        for token in &revoked {
            let said = caller.introspect(&http, &server, token).await;
            assert_eq!(said, json!({"active": false}));
        }
        for assertion in &used {
            assert_eq!(assert_to(&http, &server, assertion).await.status(), 401);
        }
        let said = caller.introspect(&http, &server, &good).await;
        assert_eq!(said["active"], true, "the keys are unchanged");
    }
    let series = r#"skriptoteket_failed_auths_total{service_id="orders",reason="revoked_token"}"#;
    assert_eq!(server.page().await.value(series), 3.0);
}
