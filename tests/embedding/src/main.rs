//! An application with logins, Redis sessions, the gauge of sessions by role and a metrics page.

use actix_web::{App, HttpServer, web};
use async_trait::async_trait;
use skriptoteket_actix::{
    Accounts, ApplicationAccount, Cause, HashingPolicy, Principal, Role, Skriptoteket, UserId,
    Username, hash_blocking,
};

async fn home(user: Principal) -> String {
    format!("hello, {}\n", user.username.as_str())
}

/// The only account.
#[derive(Debug)]
struct Ada(ApplicationAccount);

#[async_trait]
impl Accounts for Ada {
    async fn find(&self, username: &Username) -> Result<Option<ApplicationAccount>, Cause> {
        Ok((self.0.username == *username).then(|| self.0.clone()))
    }

    async fn find_by_id(&self, id: UserId) -> Result<Option<ApplicationAccount>, Cause> {
        Ok((self.0.id == id).then(|| self.0.clone()))
    }
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let [redis, address, key] = [1, 2, 3].map(|n| std::env::args().nth(n).unwrap_or_default());
    let hash = hash_blocking(&HashingPolicy::default(), &"correct horse".into())?;
    let ada = ApplicationAccount::new("0198c4a8-27c5-7d30-9c1e-0f6f4d5d3b01".parse()?, "ada".parse()?, Role::Admin, hash);
    // glue: begin
    let builder = Skriptoteket::builder()
        .redis(redis)
        .accounts(Ada(ada))
        .cookie_key_file(key)
        .public_url(format!("http://{address}"));
    #[cfg(feature = "telemetry")]
    let builder = builder.telemetry_from_env();
    let sk = builder.start().await?;
    let shared = sk.clone();
    let server = HttpServer::new(move || {
        let app = App::new().wrap(shared.sessions());
        let app = app.configure(shared.login_routes("/api"));
        #[cfg(feature = "telemetry")]
        let app = app.service(shared.metrics("/metrics"));
        app.route("/", web::get().to(home))
    });
    server.workers(1).bind(address)?.run().await?;
    sk.shutdown().await;
    // glue: end
    Ok(())
}
