//! An application with accounts and a page of its own.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_session::Session;
use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use async_trait::async_trait;
use reqwest::{Client, Response};
use serde_json::json;
use skriptoteket::{
    Builder, Principal, Skriptoteket,
    accounts::{Accounts, ApplicationAccount, Role, UserId, Username, password::hash_blocking},
    error::Cause,
};
use skriptoteket_testing::{
    page::Page,
    parts::CHEAP,
    redis::RedisServer,
    wait::{LOOK_AGAIN, TIME_LIMIT},
};

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const KEY: &str = "a key of the tests with more than thirty-two bytes";

/// The accounts of the application. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Users(Arc<Mutex<BTreeMap<UserId, ApplicationAccount>>>);

impl Users {
    /// Creates accounts with the same password.
    pub(crate) fn new(users: &[(&str, Role)]) -> Self {
        let this = Self::default();
        for (name, role) in users {
            let hash = hash_blocking(&CHEAP, &PASSWORD.into()).unwrap();
            let id = UserId::generate();
            let account = ApplicationAccount::new(id, name.parse().unwrap(), *role, hash);
            this.0.lock().unwrap().insert(id, account);
        }
        this
    }

    /// Changes an account and returns its ID.
    pub(crate) fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut ApplicationAccount),
    ) -> UserId {
        let mut users = self.0.lock().unwrap();
        let account = users.values_mut().find(|it| it.username.as_str() == name);
        let account = account.unwrap();
        change(account);
        account.id
    }

    /// Removes an account and returns its ID.
    pub(crate) fn remove(&self, name: &str) -> UserId {
        let id = self.change(name, |_| {});
        self.0.lock().unwrap().remove(&id);
        id
    }
}

#[async_trait]
impl Accounts for Users {
    async fn find(&self, username: &Username) -> Result<Option<ApplicationAccount>, Cause> {
        let users = self.0.lock().unwrap();
        Ok(users.values().find(|it| it.username == *username).cloned())
    }

    async fn find_by_id(&self, id: UserId) -> Result<Option<ApplicationAccount>, Cause> {
        Ok(self.0.lock().unwrap().get(&id).cloned())
    }
}

/// A builder with everything that is required.
pub(crate) fn builder(redis: &RedisServer, users: &Users) -> Builder {
    Skriptoteket::builder()
        .redis(redis.url())
        .accounts(users.clone())
        .cookie_key(KEY.into())
        .public_url("http://127.0.0.1")
        .hashing(CHEAP)
        .store_timeout(Duration::from_secs(30))
}

/// A page of the application.
async fn home(user: Principal) -> String {
    format!("hello, {} ({})", user.username.as_str(), user.role.as_str())
}

/// A page for everyone.
async fn open() -> &'static str {
    "welcome"
}

/// A page whose error responses are its own.
async fn refusing() -> HttpResponse {
    HttpResponse::TooManyRequests()
        .insert_header(("retry-after", "7"))
        .body("slower, please")
}

/// A page with state of the session.
async fn renewing(session: Session, _: Principal) -> &'static str {
    session.renew();
    "renewed"
}

/// A page that fails in an unforeseen way.
async fn broken() -> String {
    panic!("this page is broken")
}

/// The application, while it runs.
pub(crate) struct Application {
    pub(crate) url: String,
    pub(crate) sk: Skriptoteket,
    server: ServerHandle,
}

impl Application {
    /// Starts the application on a free port.
    pub(crate) fn serve(sk: Skriptoteket) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = sk.clone();
        let server = HttpServer::new(move || {
            App::new()
                .wrap(shared.sessions())
                .configure(shared.login_routes("/api"))
                .service(shared.metrics("/metrics"))
                .service(shared.ready("/ready"))
                .route("/", web::get().to(home))
                .route("/open", web::get().to(open))
                .route("/open/{number}", web::get().to(open))
                .route("/refusing", web::get().to(refusing))
                .route("/renewing", web::get().to(renewing))
                .route("/broken", web::get().to(broken))
        });
        let server = server.workers(1).disable_signals().listen(listener);
        let server = server.unwrap().run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            url,
            sk,
            server: handle,
        }
    }

    /// Builds and starts the application.
    pub(crate) async fn start(builder: Builder) -> Self {
        Self::serve(builder.start().await.unwrap())
    }

    pub(crate) async fn log_in(&self, client: &Client, name: &str, password: &str) -> Response {
        let login = client.post(format!("{}/api/login", self.url));
        let login = login.json(&json!({"username": name, "password": password}));
        login.send().await.unwrap()
    }

    /// Returns the status and the body of a page.
    pub(crate) async fn get(&self, client: &Client, path: &str) -> (u16, String) {
        let response = client.get(format!("{}{path}", self.url));
        let response = response.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Returns the metrics page.
    pub(crate) async fn page(&self, client: &Client) -> Page {
        let (status, text) = self.get(client, "/metrics").await;
        assert_eq!(status, 200, "{text}");
        Page::parse(&text)
    }

    /// Waits for a metrics page that has what is wanted.
    pub(crate) async fn page_where(
        &self,
        client: &Client,
        what: &str,
        wanted: impl Fn(&Page) -> bool,
    ) -> Page {
        let mut left = TIME_LIMIT;
        loop {
            let page = self.page(client).await;
            if wanted(&page) {
                return page;
            }
            assert!(
                !left.is_zero(),
                "the page never shows that {what}: {page:?}"
            );
            left = left.saturating_sub(LOOK_AGAIN);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Stops the listener, then the rest.
    pub(crate) async fn stop(self) {
        self.server.stop(true).await;
        self.sk.shutdown().await;
    }
}
