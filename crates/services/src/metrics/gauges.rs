//! Registered services: gauges and totals, read from a snapshot in memory.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::Meter};

use super::{
    ACTIVE_SERVICES, CREDENTIAL_EXPIRY, CREDENTIAL_ROTATIONS, CredentialRotation, Health,
    RegistrationEvent, SERVICE_HEALTH, SERVICE_REGISTRATIONS, SERVICES_BY_HEALTH, SIGNING_KEY_AGE,
};
use skriptoteket_core::{
    clock::Clock,
    metric::{Attribute, Label},
    observer_state::ObserverState,
};

/// The state of all services in the store at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSnapshot {
    /// The services.
    pub services: Vec<ServiceSample>,
    /// Registrations since the store was created, in the order of [`RegistrationEvent::ALL`].
    pub registrations: [u64; RegistrationEvent::ALL.len()],
    /// Rotations requested since the store was created, in the order of [`CredentialRotation::ALL`].
    pub rotations: [u64; CredentialRotation::ALL.len()],
    /// How long the signing key had been in use, if there was one.
    pub signing_key_age: Option<Duration>,
}

/// A service in the snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSample {
    /// Its id.
    pub service: Arc<str>,
    /// Its health.
    pub health: Health,
    /// Seconds until its last credential expires, negative once expired; `None` if none expires or the service is
    /// disabled.
    pub credential_expires_in: Option<f64>,
}

/// The last snapshot, and the monotonic time at which it was requested. Shared, so that no callback holds the lock.
type Last = Option<(Arc<ServiceSnapshot>, Duration)>;

/// Holds the snapshot and the instruments that read it. Cheap to clone.
///
/// Only the replica that observes sessions exports it, and only snapshots requested since it became the observer:
/// another replica may have exported later totals before, and totals must not decrease. Gauges are exported only while
/// the snapshot is recent; otherwise they are absent. Totals keep their last value while the store does not respond.
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
    /// Registers the instruments on each of `service_wide`. A snapshot is considered current for `believed_for`;
    /// `observer` reports whether this replica exports it.
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

    /// Replaces the snapshot. `taken_at` is the monotonic time at which it was requested; a snapshot requested before
    /// the last one is ignored.
    pub fn publish(&self, snapshot: ServiceSnapshot, taken_at: Duration) {
        let snapshot = Arc::new(snapshot);
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(_, before)| *before <= taken_at) {
            *last = Some((snapshot, taken_at));
        }
    }

    /// True if this replica exports these gauges now.
    #[must_use]
    pub fn observes(&self) -> bool {
        self.observer.observes()
    }

    /// Reads the snapshot and its age, if this replica exports it.
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

    /// As [`ServiceGauges::read`], while the snapshot is considered current.
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
        ACTIVE_SERVICES.observable_gauge(meter, move |observer| {
            this.read_young(|snapshot, _| {
                let all = snapshot.services.iter();
                let active = all.filter(|it| it.health.is_active()).count();
                observer.observe(active as u64, &[]);
            });
        });
        let this = self.clone();
        SERVICES_BY_HEALTH.observable_gauge(meter, move |observer| {
            this.read_young(|snapshot, _| {
                for health in Health::ALL {
                    let all = snapshot.services.iter();
                    let n = all.filter(|it| it.health == health).count();
                    observer.observe(n as u64, &[health.key_value()]);
                }
            });
        });
        let this = self.clone();
        SERVICE_HEALTH.observable_gauge(meter, move |observer| {
            this.read_young(|snapshot, _| {
                for sample in &snapshot.services {
                    for health in Health::ALL {
                        // In the order of their keys: otherwise the SDK stores them twice.
                        let labels = [health.key_value(), service_id(sample)];
                        observer.observe(u64::from(sample.health == health), &labels);
                    }
                }
            });
        });
    }

    fn register_ages(&self, meter: &Meter) {
        let this = self.clone();
        CREDENTIAL_EXPIRY.observable_gauge_f64(meter, move |observer| {
            this.read_young(|snapshot, age| {
                for sample in &snapshot.services {
                    if let Some(left) = sample.credential_expires_in {
                        observer.observe(left - age.as_secs_f64(), &[service_id(sample)]);
                    }
                }
            });
        });
        let this = self.clone();
        SIGNING_KEY_AGE.observable_gauge_f64(meter, move |observer| {
            this.read_young(|snapshot, age| {
                if let Some(then) = snapshot.signing_key_age {
                    observer.observe((then + age).as_secs_f64(), &[]);
                }
            });
        });
    }

    fn register_totals(&self, meter: &Meter) {
        let this = self.clone();
        SERVICE_REGISTRATIONS.observable_counter(meter, move |observer| {
            this.read(|snapshot, _| {
                for (event, n) in RegistrationEvent::ALL
                    .into_iter()
                    .zip(snapshot.registrations)
                {
                    observer.observe(n, &[event.key_value()]);
                }
            });
        });
        let this = self.clone();
        CREDENTIAL_ROTATIONS.observable_counter(meter, move |observer| {
            this.read(|snapshot, _| {
                for (result, n) in CredentialRotation::ALL.into_iter().zip(snapshot.rotations) {
                    observer.observe(n, &[result.key_value()]);
                }
            });
        });
    }
}

fn service_id(sample: &ServiceSample) -> KeyValue {
    KeyValue::new(Attribute::SERVICE_ID.key, Arc::clone(&sample.service))
}
