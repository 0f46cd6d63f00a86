//! Registered services: gauges and totals, read from a snapshot in memory.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::Meter};

use super::{CREDENTIAL_ROTATIONS, HEALTHS, REGISTRATION_EVENTS, guarded::guarded};
use crate::{clock::Clock, observer_state::ObserverState};

/// What the store said of all services at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSnapshot {
    /// The services.
    pub services: Vec<ServiceSample>,
    /// Registrations ever made, in the order of [`REGISTRATION_EVENTS`].
    pub registrations: [u64; REGISTRATION_EVENTS.len()],
    /// Rotations ever asked for, in the order of [`CREDENTIAL_ROTATIONS`].
    pub rotations: [u64; CREDENTIAL_ROTATIONS.len()],
    /// How long the signing key had been in use, if there was one.
    pub signing_key_age: Option<Duration>,
}

/// A service in the snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSample {
    /// Its id.
    pub service: Arc<str>,
    /// Where its health stands in [`HEALTHS`].
    pub health: usize,
    /// Seconds until its last credential expires, below 0 since; `None` where none expires or the service is disabled.
    pub credential_expires_in: Option<f64>,
}

/// The last snapshot, and the monotonic time at which it was asked for. Shared, so that no callback keeps the lock.
type Last = Option<(Arc<ServiceSnapshot>, Duration)>;

/// `healthy` and `degraded` stand first in [`HEALTHS`].
const ACTIVE: usize = 2;

/// Holds the snapshot and the instruments that read it. Cheap to clone.
///
/// Only the replica that observes sessions shows it, and only what was asked for since it began to: another one may have
/// shown later totals before, and totals must not go back. Gauges show it only while it is young, else they are absent.
/// Totals stay as they were last read while the store does not answer.
#[derive(Clone)]
pub struct ServiceGauges {
    last: Arc<RwLock<Last>>,
    observer: ObserverState,
    clock: Arc<dyn Clock>,
    believed_for: Duration,
}

impl fmt::Debug for ServiceGauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceGauges").field(&self.last).finish()
    }
}

impl ServiceGauges {
    /// Registers the instruments on each of `service_wide`. A snapshot is believed for `believed_for`; `observer` says
    /// whether it is this replica that shows it.
    #[must_use]
    pub fn new(
        service_wide: &[Meter],
        observer: ObserverState,
        clock: Arc<dyn Clock>,
        believed_for: Duration,
    ) -> Self {
        let gauges = Self {
            last: Arc::default(),
            observer,
            clock,
            believed_for,
        };
        for meter in service_wide {
            gauges.register_gauges(meter);
            gauges.register_ages(meter);
            gauges.register_totals(meter);
        }
        gauges
    }

    /// Replaces the snapshot. `taken_at` is the monotonic time at which it was asked for; one that was asked for before
    /// the last one is left out.
    pub fn publish(&self, snapshot: ServiceSnapshot, taken_at: Duration) {
        let snapshot = Arc::new(snapshot);
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(_, before)| *before <= taken_at) {
            *last = Some((snapshot, taken_at));
        }
    }

    /// True if it is this replica that exports these gauges now.
    #[must_use]
    pub fn observes(&self) -> bool {
        self.observer.observes()
    }

    /// Reads the snapshot and its age, if it is this replica that shows it.
    fn read(&self, read: impl FnOnce(&ServiceSnapshot, Duration)) {
        let Some(since) = self.observer.observes_since() else {
            return;
        };
        let last = self.last.read();
        let last = last.unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((snapshot, taken_at)) = last.filter(|(_, taken_at)| *taken_at >= since) {
            read(&snapshot, self.clock.monotonic().saturating_sub(taken_at));
        }
    }

    /// As [`ServiceGauges::read`], while the snapshot can be believed.
    fn read_young(&self, read: impl FnOnce(&ServiceSnapshot, Duration)) {
        let limit = self.believed_for;
        self.read(|snapshot, age| {
            if age <= limit {
                read(snapshot, age);
            }
        });
    }

    fn register_gauges(&self, meter: &Meter) {
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.active_services")
            .with_unit("{service}")
            .with_description("Services that are healthy or degraded")
            .with_callback(guarded(move |observer| {
                this.read_young(|snapshot, _| {
                    let all = snapshot.services.iter();
                    let active = all.filter(|it| it.health < ACTIVE).count();
                    observer.observe(active as u64, &[]);
                });
            }))
            .build();
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.services_by_health")
            .with_unit("{service}")
            .with_description("Registered services by health")
            .with_callback(guarded(move |observer| {
                this.read_young(|snapshot, _| {
                    for (index, health) in HEALTHS.iter().enumerate() {
                        let all = snapshot.services.iter();
                        let n = all.filter(|it| it.health == index).count();
                        observer.observe(n as u64, &[KeyValue::new("health", *health)]);
                    }
                });
            }))
            .build();
        let this = self.clone();
        meter
            .u64_observable_gauge("skriptoteket.service_health")
            .with_unit("{service}")
            .with_description("1 for the health that the service has, 0 for the others")
            .with_callback(guarded(move |observer| {
                this.read_young(|snapshot, _| {
                    for entry in &snapshot.services {
                        for (index, health) in HEALTHS.iter().enumerate() {
                            // In the order of their keys: else the SDK keeps them twice.
                            let labels = [
                                KeyValue::new("health", *health),
                                KeyValue::new("service_id", Arc::clone(&entry.service)),
                            ];
                            observer.observe(u64::from(entry.health == index), &labels);
                        }
                    }
                });
            }))
            .build();
    }

    fn register_ages(&self, meter: &Meter) {
        let this = self.clone();
        meter
            .f64_observable_gauge("skriptoteket.credential_expiry")
            .with_unit("s")
            .with_description(
                "Time until the last credential of an enabled service expires; below 0 it has",
            )
            .with_callback(guarded(move |observer| {
                this.read_young(|snapshot, age| {
                    for entry in &snapshot.services {
                        if let Some(left) = entry.credential_expires_in {
                            let label = KeyValue::new("service_id", Arc::clone(&entry.service));
                            observer.observe(left - age.as_secs_f64(), &[label]);
                        }
                    }
                });
            }))
            .build();
        let this = self.clone();
        meter
            .f64_observable_gauge("skriptoteket.signing_key_age")
            .with_unit("s")
            .with_description("How long the key that signs tokens has been in use")
            .with_callback(guarded(move |observer| {
                this.read_young(|snapshot, age| {
                    if let Some(then) = snapshot.signing_key_age {
                        observer.observe((then + age).as_secs_f64(), &[]);
                    }
                });
            }))
            .build();
    }

    fn register_totals(&self, meter: &Meter) {
        let this = self.clone();
        meter
            .u64_observable_counter("skriptoteket.service_registrations")
            .with_unit("{registration}")
            .with_description("Services registered and deleted, from the store's own totals")
            .with_callback(guarded(move |observer| {
                this.read(|snapshot, _| {
                    for (event, n) in REGISTRATION_EVENTS.iter().zip(snapshot.registrations) {
                        observer.observe(n, &[KeyValue::new("event", *event)]);
                    }
                });
            }))
            .build();
        let this = self.clone();
        meter
            .u64_observable_counter("skriptoteket.credential_rotations")
            .with_unit("{rotation}")
            .with_description(
                "Rotations of credentials; refused = the one before was still overlapping",
            )
            .with_callback(guarded(move |observer| {
                this.read(|snapshot, _| {
                    for (result, n) in CREDENTIAL_ROTATIONS.iter().zip(snapshot.rotations) {
                        observer.observe(n, &[KeyValue::new("result", *result)]);
                    }
                });
            }))
            .build();
    }
}
