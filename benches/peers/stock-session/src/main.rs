//! The peers of the Redis benchmark: a session check on actix-session's own Redis store, and a bare handler.
//!
//! `stock-session STORE_PORT BARE_PORT REDIS_URL`: `POST /login` and `GET /api/session` with sessions on the first
//! port, a `GET /api/session` without sessions on the second. Settings are actix-session's defaults throughout.

use std::{env, error::Error};

use actix_session::{Session, SessionMiddleware, storage::RedisSessionStore};
use actix_web::{App, HttpResponse, HttpServer, cookie::Key, web};
use serde::{Deserialize, Serialize};

const WORKERS: usize = 2;

/// As long as the response of `skriptoteket` for the superuser `admin`.
const BARE_ANSWER: &str = r#"{"user":{"id":"019a8f3e-0000-7000-8000-000000000000","username":"admin","role":"superuser"},"session":{"id":"00AAAAAAAAAAAAAAAAAAAAAA","created_at":"2026-01-01T12:00:00.000Z","expires_at":"2026-01-01T12:30:00.000Z"}}"#;

#[derive(Serialize, Deserialize)]
struct User {
    id: String,
    username: String,
    role: String,
}

#[derive(Serialize, Deserialize)]
struct Times {
    id: String,
    created_at: String,
    expires_at: String,
}

#[derive(Serialize)]
struct Answer {
    user: User,
    session: Times,
}

async fn login(session: Session) -> Result<HttpResponse, Box<dyn Error>> {
    session.renew();
    session.insert(
        "user",
        User {
            id: "019a8f3e-0000-7000-8000-000000000000".into(),
            username: "admin".into(),
            role: "superuser".into(),
        },
    )?;
    session.insert(
        "session",
        Times {
            id: "00AAAAAAAAAAAAAAAAAAAAAA".into(),
            created_at: "2026-01-01T12:00:00.000Z".into(),
            expires_at: "2026-01-01T12:30:00.000Z".into(),
        },
    )?;
    Ok(HttpResponse::NoContent().finish())
}

async fn check(session: Session) -> Result<HttpResponse, Box<dyn Error>> {
    let user: Option<User> = session.get("user")?;
    let times: Option<Times> = session.get("session")?;
    Ok(match (user, times) {
        (Some(user), Some(session)) => HttpResponse::Ok().json(Answer { user, session }),
        _ => HttpResponse::Unauthorized().finish(),
    })
}

async fn bare() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(BARE_ANSWER)
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut next = || arguments.next().ok_or("STORE_PORT BARE_PORT REDIS_URL");
    let store_port = next()?.parse()?;
    let bare_port = next()?.parse()?;
    let store = RedisSessionStore::new(next()?).await?;
    let key = Key::generate();

    let with_sessions = HttpServer::new(move || {
        App::new()
            .wrap(SessionMiddleware::new(store.clone(), key.clone()))
            .route("/login", web::post().to(login))
            .route("/api/session", web::get().to(check))
    })
    .workers(WORKERS)
    .bind(("127.0.0.1", store_port))?
    .run();
    let without = HttpServer::new(|| App::new().route("/api/session", web::get().to(bare)))
        .workers(WORKERS)
        .bind(("127.0.0.1", bare_port))?
        .run();

    let without = actix_web::rt::spawn(without);
    with_sessions.await?;
    without.await??;
    Ok(())
}
