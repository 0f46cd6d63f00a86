//! An additional connection for each worker.
//!
//! An HTTP worker is one thread with its own runtime. Over a connection that another thread drives, each call wakes
//! that thread, and the reply wakes this one: that costs more than the rest of a session check. So each such runtime
//! gets an additional connection, which it drives itself. Until it is available, calls use the shared connection.

use std::{
    cell::RefCell,
    sync::{Arc, Weak},
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use tokio::{
    runtime::{Handle, Id, RuntimeFlavor},
    time::{sleep, timeout},
};

use super::checked::CheckedConnection;

/// Interval of the health checks, and the pause before reconnecting.
const LOOK: Duration = Duration::from_secs(1);

thread_local! {
    static OWN: RefCell<Vec<Own>> = const { RefCell::new(Vec::new()) };
}

struct Own {
    runtime: Id,
    checked: Weak<CheckedConnection>,
    /// `None` while there is none.
    connection: Option<MultiplexedConnection>,
}

impl Own {
    fn is_of(&self, runtime: Id, checked: *const CheckedConnection) -> bool {
        self.runtime == runtime && std::ptr::eq(self.checked.as_ptr(), checked)
    }
}

/// The connection with the lowest latency from this thread.
pub(super) fn connection(checked: &Arc<CheckedConnection>) -> MultiplexedConnection {
    own(checked).unwrap_or_else(|| checked.shared.clone())
}

fn own(checked: &Arc<CheckedConnection>) -> Option<MultiplexedConnection> {
    let handle = Handle::try_current().ok()?;
    if handle.runtime_flavor() == RuntimeFlavor::MultiThread {
        return None;
    }
    let runtime = handle.id();
    OWN.with_borrow_mut(|all| {
        if let Some(own) = all
            .iter()
            .find(|own| own.is_of(runtime, Arc::as_ptr(checked)))
        {
            return own.connection.clone();
        }
        // The server was lost and found since, or the runtime of a connection has ended.
        all.retain(|own| own.checked.strong_count() > 0);
        let checked = Arc::downgrade(checked);
        all.push(Own {
            runtime,
            checked: Weak::clone(&checked),
            connection: None,
        });
        handle.spawn(keep(runtime, checked));
        None
    })
}

/// Creates the connection, and recreates it when it is lost, as long as the server is the same. A call that fails on it
/// gives up the server, like every other call.
async fn keep(runtime: Id, checked: Weak<CheckedConnection>) {
    while let Some(server) = checked.upgrade() {
        let (made, time_limit) = (server.origin.another().await, server.origin.time_limit());
        drop(server);
        set(runtime, &checked, made.clone());
        if let Some(connection) = made {
            loop {
                sleep(LOOK).await;
                if checked.strong_count() == 0 || !is_alive(&connection, time_limit).await {
                    break;
                }
            }
        }
        set(runtime, &checked, None);
        sleep(LOOK).await;
    }
}

fn set(runtime: Id, checked: &Weak<CheckedConnection>, connection: Option<MultiplexedConnection>) {
    OWN.with_borrow_mut(|all| {
        if let Some(own) = all
            .iter_mut()
            .find(|own| own.is_of(runtime, checked.as_ptr()))
        {
            own.connection = connection;
        }
    });
}

async fn is_alive(connection: &MultiplexedConnection, time_limit: Duration) -> bool {
    let mut connection = connection.clone();
    let ping = redis::cmd("PING");
    let answer = timeout(time_limit, connection.send_packed_command(&ping)).await;
    answer.is_ok_and(|answer| answer.is_ok())
}
