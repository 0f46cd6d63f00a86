//! The services that have their own series.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, OnceLock, PoisonError},
};

use super::{
    OTHER_SERVICE,
    series::{Series, ServiceInstruments},
};
use skriptoteket_core::metric::SERVICE_LABELS;

/// Maximum number of services that a process admits in its lifetime: one label value is `_other`.
const MOST: usize = SERVICE_LABELS - 1;

/// At most half full, so that a search ends after a step or two.
const SLOTS: usize = (2 * MOST).next_power_of_two();

/// Maximum length of an admitted id, in bytes: that of a registered service. Longer ids are not even looked up.
const LONGEST_ID: usize = 64;

/// Series of services by id, and `_other` for all other services.
///
/// It only grows, and a slot never changes once it is set: recording takes no lock, so it waits neither for an
/// admission nor for a collection.
pub(super) struct ServiceSeries {
    slots: Box<[OnceLock<Box<Series>>]>,
    hasher: RandomState,
    /// The number of admitted services; locked while one is added.
    count: Mutex<usize>,
    other: Series,
    instruments: ServiceInstruments,
}

impl ServiceSeries {
    /// Creates the table without services. The series of `_other` are at 0.
    pub(super) fn new(instruments: ServiceInstruments) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| OnceLock::new()).collect(),
            hasher: RandomState::new(),
            count: Mutex::default(),
            other: instruments.series(OTHER_SERVICE),
            instruments,
        }
    }

    /// Adds a service if there is room. Returns whether it is admitted now.
    pub(super) fn admit(&self, id: &str) -> bool {
        if let Some(series) = self.find(id) {
            series.admit_again();
            return true;
        }
        if id == OTHER_SERVICE || id.len() > LONGEST_ID {
            return false;
        }
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        for slot in self.slots_from(id) {
            match slot.get() {
                Some(series) if series.service() == id => return true,
                Some(_) => {}
                None if *count == MOST => return false,
                None => {
                    slot.get_or_init(|| Box::new(self.instruments.series(id)));
                    *count += 1;
                    return true;
                }
            }
        }
        false
    }

    /// Returns the series of a service, if it has its own.
    pub(super) fn find(&self, id: &str) -> Option<&Series> {
        if id.len() > LONGEST_ID {
            return None;
        }
        // Services are never removed: the first free slot ends the search.
        let found = self.slots_from(id).map_while(OnceLock::get);
        found.map(Box::as_ref).find(|it| it.service() == id)
    }

    /// Returns the series in which this service is recorded.
    pub(super) fn of(&self, id: &str) -> &Series {
        self.find(id).unwrap_or(&self.other)
    }

    /// Returns the series of each admitted service.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Series> {
        let set = self.slots.iter().filter_map(OnceLock::get);
        set.map(Box::as_ref)
    }

    fn slots_from(&self, id: &str) -> impl Iterator<Item = &OnceLock<Box<Series>>> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "any bits of a hash can be used"
        )]
        let (before, from) = self
            .slots
            .split_at(self.hasher.hash_one(id) as usize % SLOTS);
        from.iter().chain(before)
    }
}
