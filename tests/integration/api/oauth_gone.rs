//! Clients that disconnect before they receive a response are counted once, like all others.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use serde_json::json;
use skriptoteket_testing::http::plain;
use sqlx::{Connection, SqliteConnection};

use crate::api::support::{App, Ledger, spawn_app, with_form};

/// Waits until a counter changes and returns the changes.
async fn later(ledger: &mut Ledger) -> Vec<(String, u64)> {
    for _ in 0..6_000 {
        let moved = ledger.moved();
        if !moved.is_empty() {
            return moved;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Vec::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_counted_as_cancelled() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let url = format!("sqlite://{}", app.database.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let hold = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut ledger = app.ledger();
    let request = plain().post(format!("{}/oauth2/token", app.public));
    let request = request.basic_auth(&orders.id, Some(&orders.secret));
    let request = with_form(request, &[("grant_type", "client_credentials")]);
    // Writers wait for the transaction above.
    app.leave_once_in_flight(request).await;
    assert_eq!(
        later(&mut ledger).await,
        [("failed_auths cancelled _other".into(), 1)]
    );
    hold.rollback().await.unwrap();
    orders.token().await;
    ledger.expect(&["successful_auths orders"]);
    app.stop().await;
}

/// Sends half of a form and disconnects, with a normal close or with a reset.
async fn send_half(app: &App, path: &str, reset: bool) {
    let address = app.public.trim_start_matches("http://").to_owned();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         expect: 100-continue\r\ncontent-length: 100\r\n\r\nclient_id="
    );
    let talk = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let limit = Some(Duration::from_secs(20));
        stream.set_read_timeout(limit).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut told = [0; 64];
        // Closing a socket with unread data resets the connection.
        let told = if reset {
            stream.peek(&mut told)
        } else {
            stream.read(&mut told)
        };
        assert!(told.unwrap() > 0);
        if !reset {
            stream.shutdown(Shutdown::Write).unwrap();
        }
    };
    tokio::task::spawn_blocking(talk).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_breaks_off_half_way_is_counted_once() {
    let app = spawn_app().await;
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
        for reset in [false, true] {
            let mut ledger = app.ledger();
            send_half(&app, path, reset).await;
            let moved = later(&mut ledger).await;
            assert!(
                matches!(moved.as_slice(), [(series, 1)] if series.starts_with("failed_auths ")
                    && series.ends_with(" _other")),
                "{path} {reset}: {moved:?}"
            );
        }
    }
    app.stop().await;
}
