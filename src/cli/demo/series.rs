//! Sums of series on a metrics page.

use crate::telemetry::exposition::Exposition;

/// The sum of all series with this name and, among others, these labels; `None` where there is none.
pub(super) fn sum(page: &Exposition, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
    let matching = page.samples.iter().filter(|sample| {
        let mut labels = labels.iter();
        let has =
            |(key, value): &(&str, &str)| sample.labels.get(*key).is_some_and(|it| it == value);
        sample.name == name && labels.all(has)
    });
    let mut values = matching.map(|sample| sample.value).peekable();
    values.peek()?;
    Some(whole(values.sum()))
}

/// Counts travel as floating-point numbers; below 2^53 they are exact.
fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates: what is below 0 or no number becomes 0"
    )]
    let whole = value.round() as u64;
    whole
}

/// The sum of those values whose names are wanted; `None` where one of them is absent.
pub(super) fn picked(names: &[&str], values: &[Option<u64>], wanted: &[&str]) -> Option<u64> {
    let series = names.iter().zip(values);
    series
        .filter(|(name, _)| wanted.contains(name))
        .map(|(_, value)| *value)
        .sum()
}
