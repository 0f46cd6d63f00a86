//! The traffic: sends the steps of a plan as real requests, each when it is due.
//!
//! Every device has its own task, which does one thing at a time, as a person does; so have the machines and the
//! operator. Guesses of attackers run concurrently, within a limit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
};

use super::{
    acts::{Act, Guess, Order, Target, Task},
    api::{Answer, Api, Browser, Credentials, Request, Site},
    cast::{Cast, Device},
    journal::Journal,
    ledger::Ledger,
    machines::{self, Job},
    operator::Operator,
    plan::{LEAST_GAP, Plan},
    rhythm::Day,
    stop::Stop,
};
use crate::clock::Clock;

/// Maximum number of tasks waiting for one device. Beyond it the service is too slow for the plan, and steps are
/// skipped.
const QUEUE: usize = 8;

/// Maximum number of concurrent guesses of attackers. Further ones are skipped.
const STRANGERS: usize = 8;

/// Maximum number of concurrent logins of people. Further ones wait, so that a slow service does not get more
/// requests than it can handle.
const LOGINS: usize = 8;

/// The password that attackers try; no account has it.
const GUESS: &str = "password1";

/// The state shared by all tasks.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) api: Api,
    /// The participants.
    pub(super) cast: Cast,
    /// One per person: shared by logins, exclusive while the account is disabled. A login that races with the change
    /// starts a session, ends it and fails, so the responses would not show how many sessions were started.
    doors: Vec<RwLock<()>>,
    /// One permit per login of [`LOGINS`].
    turns: Semaphore,
    /// The prefix of every name.
    prefix: String,
    /// What was done.
    pub(super) ledger: Arc<Ledger>,
    /// Messages for the screen.
    pub(super) journal: Journal,
    pub(super) day: Day,
    clock: Arc<dyn Clock>,
    /// The start, on the monotonic clock.
    began: Duration,
    /// True once nothing more may be sent.
    closing: AtomicBool,
    /// True once the rejection of the current attack has been reported.
    refusal_told: AtomicBool,
}

impl Stage {
    /// Creates the state; the traffic starts now.
    pub(super) fn set(
        api: Api,
        ledger: Arc<Ledger>,
        cast: Cast,
        prefix: &str,
        day: Day,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            api,
            ledger,
            doors: cast.people.iter().map(|_| RwLock::default()).collect(),
            turns: Semaphore::new(LOGINS),
            cast,
            prefix: prefix.to_owned(),
            journal: Journal::default(),
            day,
            began: clock.monotonic(),
            clock,
            closing: AtomicBool::new(false),
            refusal_told: AtomicBool::new(false),
        }
    }

    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.began)
    }

    /// Adds a message to the journal.
    pub(super) fn tell(&self, what: &str) {
        let time = self.day.time(self.elapsed());
        self.journal.tell(format!("{time}  {what}"));
    }

    fn tell_trouble(&self, answer: Option<&Answer>) {
        match answer.map(|it| it.status) {
            Some(status @ 500..) => self.tell(&format!("a login failed with status {status}")),
            None => self.tell("a login got no response"),
            _ => {}
        }
    }

    async fn enter(&self, person: usize) -> Option<RwLockReadGuard<'_, ()>> {
        Some(self.doors.get(person)?.read().await)
    }

    async fn close_door(&self, person: usize) -> Option<RwLockWriteGuard<'_, ()>> {
        Some(self.doors.get(person)?.write().await)
    }

    /// Stops further requests.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Returns true once nothing more may be sent.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// Runs the plan for `length`, or until a stop is requested; then waits for pending requests.
///
/// At the end every user who is still logged in uses their session once more. So no session expires for a while, and
/// the counts do not change during the comparison.
///
/// # Errors
///
/// If the operator's task panicked.
pub(super) async fn play(
    plan: Plan,
    stage: &Arc<Stage>,
    operator: Operator,
    length: Option<Duration>,
    stop: &Stop,
) -> anyhow::Result<Operator> {
    let mut troupe = Troupe::assemble(stage, operator);
    tokio::select! {
        () = troupe.send_all(plan, length) => {}
        () = stop.asked(1) => {}
    }
    stage.close();
    troupe.finish().await
}

/// The running tasks.
struct Troupe {
    stage: Arc<Stage>,
    devices: Vec<mpsc::Sender<Task>>,
    machines: Vec<mpsc::Sender<Job>>,
    orders: mpsc::Sender<Order>,
    operator: JoinHandle<Operator>,
    /// The tasks of the devices and machines, and of pending guesses.
    others: JoinSet<()>,
    strangers: Arc<Semaphore>,
}

impl Troupe {
    fn assemble(stage: &Arc<Stage>, operator: Operator) -> Self {
        let mut others = JoinSet::new();
        let mut devices = Vec::new();
        for device in &stage.cast.devices {
            let (tasks, to_do) = mpsc::channel(QUEUE);
            others.spawn(at_device(Arc::clone(stage), *device, to_do));
            devices.push(tasks);
        }
        let mut machines = Vec::new();
        for machine in &stage.cast.machines {
            let (jobs, to_do) = mpsc::channel(QUEUE);
            others.spawn(machines::at_work(Arc::clone(stage), machine.clone(), to_do));
            machines.push(jobs);
        }
        let (orders, to_do) = mpsc::channel(QUEUE);
        Self {
            stage: Arc::clone(stage),
            devices,
            machines,
            orders,
            operator: tokio::spawn(operate(Arc::clone(stage), operator, to_do)),
            others,
            strangers: Arc::new(Semaphore::new(STRANGERS)),
        }
    }

    async fn send_all(&mut self, plan: Plan, length: Option<Duration>) {
        for step in plan {
            let over = length.filter(|length| step.at >= *length);
            let wait = over.unwrap_or(step.at).saturating_sub(self.stage.elapsed());
            // After a delay, the steps that are due must not all be sent at once.
            tokio::time::sleep(wait.max(LEAST_GAP / 2)).await;
            if over.is_some() {
                return;
            }
            if let Some(news) = &step.news {
                self.stage.refusal_told.store(false, Ordering::Relaxed);
                self.stage.tell(news);
            }
            if !self.send(step.act) {
                self.stage.ledger.skipped();
            }
            while self.others.try_join_next().is_some() {}
        }
    }

    /// Returns false if the task that should do it has fallen behind.
    fn send(&mut self, act: Act) -> bool {
        match act {
            Act::AtDevice(device, task) => {
                let tasks = self.devices.get(device);
                tasks.is_some_and(|it| it.try_send(task).is_ok())
            }
            Act::Machine(machine, job) => {
                let jobs = self.machines.get(machine);
                jobs.is_some_and(|it| it.try_send(job).is_ok())
            }
            Act::Operate(order) => self.orders.try_send(order).is_ok(),
            Act::Guess(guess) => {
                let Ok(place) = Arc::clone(&self.strangers).try_acquire_owned() else {
                    return false;
                };
                let stage = Arc::clone(&self.stage);
                self.others.spawn(async move {
                    let _held = place;
                    make_guess(&stage, guess).await;
                });
                true
            }
        }
    }

    /// Waits until all tasks are done.
    async fn finish(mut self) -> anyhow::Result<Operator> {
        drop((self.devices, self.machines, self.orders));
        while self.others.join_next().await.is_some() {}
        self.operator.await.context("the operator crashed")
    }
}

async fn at_device(stage: Arc<Stage>, device: Device, mut tasks: mpsc::Receiver<Task>) {
    let Some(person) = stage.cast.people.get(device.person) else {
        return;
    };
    let credentials = Credentials {
        username: person.name.clone(),
        password: person.password.clone(),
    };
    let mut browser = Browser::new(device.user_agent, Some(device.address));
    while let Some(task) = tasks.recv().await {
        let _turn = match task {
            Task::Login { .. } | Task::Mistype | Task::Lured => stage.turns.acquire().await.ok(),
            Task::Look | Task::ListOwn | Task::Logout => None,
        };
        let _open = stage.enter(device.person).await;
        if !stage.is_closing() {
            run_task(&stage, &mut browser, &credentials, task).await;
        }
    }
    run_task(&stage, &mut browser, &credentials, Task::Look).await;
}

async fn run_task(stage: &Stage, browser: &mut Browser, credentials: &Credentials, task: Task) {
    let api = &stage.api;
    match task {
        Task::Login { remember_me } => {
            let answer = api
                .login(browser, credentials, remember_me, Site::Own)
                .await;
            stage.tell_trouble(answer.as_ref());
        }
        Task::Mistype => {
            let mistyped = Credentials {
                username: credentials.username.clone(),
                password: format!("{}x", credentials.password.expose_secret()).into(),
            };
            let answer = api.login(browser, &mistyped, false, Site::Own).await;
            stage.tell_trouble(answer.as_ref());
        }
        Task::Lured => {
            let answer = api.login(browser, credentials, false, Site::Other).await;
            if answer.is_some_and(|it| it.status == 403) {
                stage.tell("another site tried to log a user in: rejected (403)");
            }
        }
        // A user who is not logged in skips what requires a session.
        Task::Look | Task::ListOwn | Task::Logout if !browser.has_cookie() => {}
        Task::Look => {
            api.send(browser, Request::get("api/session", &[200, 401]))
                .await;
        }
        Task::ListOwn => {
            api.send(browser, Request::get("api/sessions", &[200, 401]))
                .await;
        }
        Task::Logout => {
            let request = Request {
                method: Method::POST,
                path: "api/logout",
                body: None,
                expected: &[204],
            };
            api.send(browser, request).await;
        }
    }
}

async fn make_guess(stage: &Stage, guess: Guess) {
    let username = match guess.target {
        Target::Person(person) => stage.cast.people.get(person).map(|it| it.name.clone()),
        Target::Nobody(number) => Some(format!("{}unknown-{number:08x}", stage.prefix)),
    };
    let credentials = Credentials {
        username: username.unwrap_or_default(),
        password: SecretString::from(GUESS),
    };
    let mut browser = Browser::new("curl/8", Some(guess.from));
    let answer = stage
        .api
        .login(&mut browser, &credentials, false, Site::Own)
        .await;
    let limited = answer.as_ref().filter(|it| it.status == 429);
    if let Some(seconds) = limited.and_then(|it| it.retry_after)
        && !stage.refusal_told.swap(true, Ordering::Relaxed)
    {
        stage.tell(&format!(
            "too many guesses: rejected (429), retry in {seconds} s"
        ));
    }
    stage.tell_trouble(answer.as_ref());
}

async fn operate(
    stage: Arc<Stage>,
    mut operator: Operator,
    mut orders: mpsc::Receiver<Order>,
) -> Operator {
    while let Some(order) = orders.recv().await {
        if stage.is_closing() {
            continue;
        }
        let _closed = match order {
            Order::SetDisabled(person, _) => stage.close_door(person).await,
            _ => None,
        };
        if let Some(news) = operator.carry_out(order).await {
            stage.tell(&news);
        }
    }
    operator
}
