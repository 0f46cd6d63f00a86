//! The task of a connection: actix-http's dispatcher with deadlines.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_http::error::DispatchError;
use tokio::time::{Sleep, sleep};

use super::state::{Connection, Due};

/// Serves a connection until it ends, one of its deadlines passes, or its place is needed for others.
///
/// Closing the connection drops the dispatcher, whatever it waits for.
pub(super) struct Task<F> {
    dispatcher: Pin<Box<F>>,
    connection: Rc<Connection>,
    alarm: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl<F> Task<F> {
    pub(super) fn new(dispatcher: F, connection: Rc<Connection>) -> Self {
        Self {
            dispatcher: Box::pin(dispatcher),
            connection,
            alarm: None,
        }
    }

    /// Returns whether the time `at` has passed; otherwise wakes the task then.
    ///
    /// An alarm that is set for an earlier time stays: when it fires, the task checks again. An ordinary request, which
    /// only postpones the end of the idle time, therefore sets no alarm.
    fn is_past(&mut self, at: Duration, now: Duration, context: &mut Context<'_>) -> bool {
        if self.alarm.as_ref().is_none_or(|(set, _)| at < *set) {
            let wait = at.saturating_sub(now);
            self.alarm = Some((at, Box::pin(sleep(wait))));
        }
        let past = self
            .alarm
            .as_mut()
            .is_some_and(|(_, alarm)| alarm.as_mut().poll(context).is_ready());
        if past {
            self.alarm = None;
        }
        past
    }
}

impl<F: Future<Output = Result<(), DispatchError>>> Future for Task<F> {
    type Output = Result<(), DispatchError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.connection.place.entry.waker.register(context.waker());
        loop {
            if this.connection.place.entry.is_shed() {
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(ended) = this.dispatcher.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            this.connection.publish();
            let now = this.connection.now();
            match this.connection.due(now) {
                Due::Close => return Poll::Ready(Ok(())),
                Due::Refuse => {}
                Due::At(at) if this.is_past(at, now, context) => {}
                Due::At(_) | Due::Never => return Poll::Pending,
            }
        }
    }
}
