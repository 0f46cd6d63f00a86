//! Servers whose clock differs from the store's clock.

use std::{sync::Arc, time::Duration};

use skriptoteket::{
    accounts::Role,
    clock::{Clock, ManualClock, Timestamp},
    sessions::{SessionMetrics, Sessions, census::CensusBell},
    telemetry::Telemetry,
};
use skriptoteket_testing::parts::POLICY;
use tokio::runtime::Handle;

use crate::logins::harness::{Harness, PASSWORD};

/// Returns the sessions of `harness` as seen by a server with this clock.
fn seen_by(harness: &Harness, clock: &Arc<ManualClock>) -> Sessions {
    let clock: Arc<dyn Clock> = clock.clone();
    Sessions::new(
        harness.stores.sessions.clone(),
        SessionMetrics::new(&Telemetry::disabled().meter()),
        clock,
        POLICY,
        CensusBell::default(),
        Handle::current(),
    )
}

#[tokio::test]
async fn who_uses_a_session_keeps_it_however_wrong_the_clock_of_the_server_is() {
    let hour = 3_600_000;
    for distance in [-24 * hour, -hour, -hour / 4, -1, 0, 1, hour, 24 * hour] {
        let harness = Harness::new().await;
        harness.user("ada", Role::User).await;
        let id = harness
            .try_login("ada", PASSWORD)
            .await
            .unwrap()
            .session
            .record
            .id;
        let start = Timestamp::from_millis(harness.clock.now().as_millis() + distance);
        let clock = Arc::new(ManualClock::starting_at(start));
        let sessions = seen_by(&harness, &clock);
        for minute in (0..12 * 60).step_by(10) {
            let checked = sessions.check(&id).await.unwrap();
            assert!(checked.is_some(), "{distance} ms off, after {minute} min");
            for clock in [&harness.clock, &clock] {
                clock.advance(Duration::from_mins(10));
            }
        }
        assert!(sessions.check(&id).await.unwrap().is_none());
    }
}
