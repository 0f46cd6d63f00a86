//! A connection's task: actix-http's dispatcher, and the clock beside it.

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

/// Serves a connection until it ends, one of its times is over, or others need its place.
///
/// Closing it drops the dispatcher, whatever it waits for.
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

    /// Whether it is `at` by now; wakes the task then.
    ///
    /// An alarm that is set for an earlier time stays: when it goes off the task looks again. So the usual request, which
    /// moves the end of the idle time, sets none.
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
