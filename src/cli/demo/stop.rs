//! Requests to stop: Ctrl-C, SIGTERM, or a closed terminal. The first ends the run with its summary, the second
//! without one, and the third leaves undeleted data behind at another service.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cli::signals;

/// The number of requests to stop. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<watch::Sender<u8>>);

impl Stop {
    /// Listens for signals from here on.
    ///
    /// # Errors
    ///
    /// If the signals cannot be received.
    pub(super) fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        let (asked, mut stops) = (stop.clone(), signals::stops()?);
        tokio::spawn(async move {
            while stops.recv().await.is_some() {
                asked.ask();
            }
        });
        Ok(stop)
    }

    /// Requests a stop.
    pub(super) fn ask(&self) {
        self.0.send_modify(|times| *times = times.saturating_add(1));
    }

    /// Waits until a stop has been requested this many times.
    pub(super) async fn asked(&self, times: u8) {
        let mut asked = self.0.subscribe();
        // An error means that all senders are dropped, but this value is itself a sender.
        let _ = asked.wait_for(|so_far| *so_far >= times).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_interrupt_does_not_count_twice() {
        let stop = Stop::default();
        stop.ask();
        stop.asked(1).await;
        let twice = tokio::time::timeout(Duration::from_millis(50), stop.asked(2));
        assert!(twice.await.is_err());
        stop.clone().ask();
        stop.asked(2).await;
    }
}
