//! A Redis that closes connections but stays available: callers do not notice.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use skriptoteket::{
    accounts::{Role, UserId},
    sessions::SessionState,
};
use skriptoteket_testing::{
    redis::{RedisServer, Wire},
    stores::new_session,
};
use tokio::time::sleep;

use crate::redis::harness::Replica;

/// Closes all connections except this one.
fn close_all(wire: &mut Wire) {
    wire.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_were_closed_while_idle_fail_neither_reads_nor_writes() {
    let server = RedisServer::start(&[]);
    let replica = Replica::patient_on(&server).await;
    let session = replica.start().await.unwrap();
    let mut wire = server.wire();
    // Repeatedly: the pauses between attempts must not grow when each attempt succeeds.
    for round in 0..15 {
        sleep(Duration::from_millis(120)).await;
        close_all(&mut wire);
        // The connections were closed a moment ago, and nothing has been sent since.
        sleep(Duration::from_millis(20)).await;
        let sessions = &replica.stores.sessions;
        if round % 3 == 0 {
            assert!(sessions.load(&session.id).await.unwrap().is_some());
        } else if round % 3 == 1 {
            // A write that must not run twice: it was not sent on the closed connection.
            replica.start().await.unwrap();
        } else {
            let other = replica.start().await.unwrap();
            close_all(&mut wire);
            sleep(Duration::from_millis(20)).await;
            assert!(replica.end(&other).await.unwrap());
        }
    }
    replica.live_by_all_counts(vec![server.wire()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_are_out_when_connections_are_closed_are_sent_again() {
    let server = RedisServer::start(&[]);
    let replica = Arc::new(Replica::patient_on(&server).await);
    let session = replica.start().await.unwrap();
    let (done, reads) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (replica, id) = (Arc::clone(&replica), session.id.clone());
            let (done, reads) = (Arc::clone(&done), Arc::clone(&reads));
            tokio::spawn(async move {
                let state = SessionState::new();
                while !done.load(Ordering::Relaxed) {
                    let sessions = &replica.stores.sessions;
                    assert!(sessions.load(&id).await.unwrap().is_some());
                    let step = Duration::from_secs(1);
                    let touched = sessions.touch(&id, Duration::from_mins(30), step).await;
                    assert!(touched.unwrap().is_some());
                    assert!(sessions.update(&id, &state).await.unwrap());
                    replica.stores.sessions.census().await.unwrap();
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut wire = server.wire();
    for _ in 0..15 {
        sleep(Duration::from_millis(150)).await;
        let before = reads.load(Ordering::Relaxed);
        close_all(&mut wire);
        while reads.load(Ordering::Relaxed) < before + 8 {
            sleep(Duration::from_millis(1)).await;
            assert!(
                !readers.iter().any(tokio::task::JoinHandle::is_finished),
                "one failed"
            );
        }
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_are_out_when_connections_are_closed_are_run_once_or_not_at_all() {
    let server = RedisServer::start(&[]);
    let replica = Arc::new(Replica::patient_on(&server).await);
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (replica, done) = (Arc::clone(&replica), Arc::clone(&done));
            tokio::spawn(async move {
                let user = UserId::generate();
                let (mut tried, mut started) = (0_u64, 0_u64);
                while !done.load(Ordering::Relaxed) {
                    tried += 1;
                    let created = replica
                        .stores
                        .sessions
                        .create(new_session(user, Role::User), 1_000)
                        .await;
                    started += u64::from(created.is_ok());
                }
                (tried, started)
            })
        })
        .collect();
    let mut wire = server.wire();
    for _ in 0..10 {
        sleep(Duration::from_millis(150)).await;
        close_all(&mut wire);
    }
    done.store(true, Ordering::Relaxed);
    let (mut tried, mut started) = (0, 0);
    for writer in writers {
        let (more_tried, more_started) = writer.await.unwrap();
        tried += more_tried;
        started += more_started;
    }
    replica.recovered().await;
    // Acknowledged sessions exist. Sessions without a reply may or may not exist.
    let live = replica.live_by_all_counts(vec![server.wire()]).await;
    assert!(
        (started..=tried).contains(&live),
        "{started} {live} {tried}"
    );
}
