//! Suggests the known name that was probably meant.

use crate::environment::SETTINGS_PREFIX;

/// Returns the most similar known name, if any is similar enough.
#[must_use]
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a String> {
    let name: Vec<char> = name.chars().take(80).collect();
    let candidates = known.iter().map(|it| (distance(&name, it), it));
    let (distance, nearest) = candidates.min_by_key(|(distance, _)| *distance)?;
    // The prefix of variables is long and always correct: without this, all names would look similar.
    let given = name
        .len()
        .saturating_sub(if nearest.starts_with(SETTINGS_PREFIX) {
            SETTINGS_PREFIX.len()
        } else {
            0
        });
    (distance <= 1 + given / 4).then_some(nearest)
}

/// Returns the Levenshtein distance: the number of characters to insert, remove or replace.
fn distance(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (i, c) in to.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in from.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[from.len()]
}
