//! Sums of series on a metrics page.

use crate::telemetry::exposition::Exposition;

/// Returns the sum of all series with this name and at least these labels; `None` if there is none.
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

/// Counts are transferred as floating-point numbers, which are exact below 2^53.
fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates: negative values and NaN become 0"
    )]
    let whole = value.round() as u64;
    whole
}

/// Returns the sum of the values with these names; `None` if one of them is absent.
pub(super) fn picked(names: &[&str], values: &[Option<u64>], wanted: &[&str]) -> Option<u64> {
    let series = names.iter().zip(values);
    series
        .filter(|(name, _)| wanted.contains(name))
        .map(|(_, value)| *value)
        .sum()
}
