//! The journal: the latest messages, for the screen.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// Number of entries that are kept.
pub(super) const KEPT: usize = 8;

/// Keeps the last [`KEPT`] entries; shared by all tasks that write messages.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<VecDeque<String>>);

impl Journal {
    /// Adds an entry and drops the oldest.
    pub(super) fn tell(&self, entry: String) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.truncate(KEPT - 1);
        entries.push_front(entry);
    }

    /// Returns the entries, newest first.
    pub(super) fn entries(&self) -> Vec<String> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entries_are_kept_and_come_first() {
        let journal = Journal::default();
        for n in 0..20 {
            journal.tell(n.to_string());
        }
        let entries = journal.entries();
        assert_eq!(entries.len(), KEPT);
        assert_eq!((entries[0].as_str(), entries[7].as_str()), ("19", "12"));
    }
}
