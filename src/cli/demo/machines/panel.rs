//! The machines' part of the live view: one line each.

use super::{Calls, Figures, NAMES};
use crate::services::LimitType;

/// Formats the values of the metrics about each machine.
pub(in crate::cli::demo) fn panel(figures: &[Figures; 3]) -> Vec<String> {
    let heading = format!(
        "{:<16}{:>9}{:>10}{:>12}  {:<10}{}",
        "services", "accepted", "rejected", "over limit", "health", "limits in use"
    );
    let line = |(name, of): (&&str, &Figures)| {
        let refused: Option<u64> = of.refused.iter().copied().sum();
        format!(
            "  {name:<14}{:>9}{:>10}{:>12}  {:<10}{}",
            shown(of.authenticated),
            shown(refused),
            shown(of.over_limit),
            of.health.unwrap_or("absent"),
            in_use(of),
        )
    };
    let lines = NAMES.iter().zip(figures).map(line);
    std::iter::once(heading).chain(lines).collect()
}

/// Formats what was done, if the URL of the metrics is not known.
pub(in crate::cli::demo) fn lines(calls: &Calls) -> String {
    format!(
        "calls of services   accepted: {}   rejected: {}   over a limit: {}",
        calls.authenticated,
        calls.not_authenticated(),
        calls.over_limit
    )
}

/// Formats the limits with known values, as `3 of 5, day 24 of 24`.
fn in_use(figures: &Figures) -> String {
    let known = LimitType::NAMES.iter().zip(figures.limits);
    let known = known.filter_map(|(limit, (used, allowed))| {
        let of = format!("{} of {}", used?, allowed?);
        Some(match *limit {
            "daily_quota" => format!("day {of}"),
            _ => of,
        })
    });
    known.collect::<Vec<_>>().join(", ")
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| String::from("absent"), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::AuthFailureReason;

    #[test]
    fn each_machine_has_a_line_that_fits_a_usual_terminal() {
        let mut figures: [Figures; 3] = Default::default();
        figures[1] = Figures {
            authenticated: Some(12_345),
            refused: [Some(2); AuthFailureReason::NAMES.len()],
            over_limit: Some(31),
            limits: [(Some(5), Some(5)), (Some(24), Some(24))],
            health: Some("degraded"),
            ..Figures::default()
        };
        let lines = panel(&figures);
        assert_eq!(
            lines[2],
            "  billing           12345        26          31  degraded  5 of 5, day 24 of 24"
        );
        assert!(lines[1].contains("inventory") && lines[1].contains("absent"));
        assert!(
            lines.iter().all(|it| it.chars().count() <= 80),
            "{lines:#?}"
        );
    }
}
