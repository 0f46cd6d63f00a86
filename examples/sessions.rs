//! An application with pages and accounts of its own, and with the logins, sessions and metrics of Skriptoteket.
//!
//! ```text
//! cargo run --example sessions -- redis://127.0.0.1:6379 8090
//! curl -c jar -H 'content-type: application/json' -d '{"username":"ada","password":"correct horse"}' localhost:8090/api/login
//! curl -b jar localhost:8090/
//! curl localhost:8090/metrics
//! ```
//!
//! The first argument is the Redis, the second a port on loopback. The standard `OTEL_…` variables decide where metrics
//! are sent. The metrics page is public here; let only Prometheus reach it.

use std::{collections::HashMap, net::SocketAddr};

use actix_web::{App, HttpServer, web};
use anyhow::Context;
use async_trait::async_trait;
use skriptoteket::{
    Principal, Skriptoteket,
    accounts::{
        Accounts, ApplicationAccount, Role, UserId, Username,
        password::{HashingPolicy, hash_blocking},
    },
    error::Cause,
};

/// The page of a user.
async fn home(user: Principal) -> String {
    format!(
        "hello, {} ({})\n",
        user.username.as_str(),
        user.role.as_str()
    )
}

/// The accounts of this application. A real one has them in its database.
#[derive(Debug)]
struct Users(HashMap<String, ApplicationAccount>);

#[async_trait]
impl Accounts for Users {
    async fn find(&self, username: &Username) -> Result<Option<ApplicationAccount>, Cause> {
        Ok(self.0.get(username.as_str()).cloned())
    }

    async fn find_by_id(&self, id: UserId) -> Result<Option<ApplicationAccount>, Cause> {
        Ok(self.0.values().find(|it| it.id == id).cloned())
    }
}

/// The ID of a user must stay the same, also after a restart. An application with other IDs derives it, for example a
/// UUID of version 5 from its own key.
const ADA: &str = "0198c4a8-27c5-7d30-9c1e-0f6f4d5d3b01";

/// Creates the account `ada` with the password `correct horse`.
fn users() -> anyhow::Result<Users> {
    let hash = hash_blocking(&HashingPolicy::default(), &"correct horse".into())?;
    let ada = ApplicationAccount::new(ADA.parse()?, "ada".parse()?, Role::Admin, hash);
    Ok(Users(HashMap::from([("ada".to_owned(), ada)])))
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let redis = arguments
        .next()
        .context("the first argument is missing: a Redis URL")?;
    let port = arguments
        .next()
        .context("the second argument is missing: a port")?;
    let address: SocketAddr = format!("127.0.0.1:{port}").parse().context("not a port")?;
    let users = users()?;
    // glue: begin
    let sk = Skriptoteket::builder()
        .redis(redis)
        .accounts(users)
        .cookie_key_file("cookie.key")
        .public_url(format!("http://{address}"))
        .telemetry_from_env()
        .start()
        .await?;
    let shared = sk.clone();
    let server = HttpServer::new(move || {
        App::new()
            .wrap(shared.sessions())
            .configure(shared.login_routes("/api"))
            .service(shared.metrics("/metrics"))
            .route("/", web::get().to(home))
    });
    server.workers(2).bind(address)?.run().await?;
    sk.shutdown().await;
    // glue: end
    Ok(())
}
