//! Tests of how benchmarks judge promises. A benchmark has no test harness.

use proptest::prelude::*;
use skriptoteket_testing::load::promises::{Interval, Judgement, Promises};

/// Returns results of `n` rounds, spaced evenly between two values and not sorted.
fn rounds(n: usize, low: f64, high: f64) -> Vec<f64> {
    let step = (high - low) / (n - 1) as f64;
    let mut values: Vec<f64> = (0..n).map(|i| low + step * i as f64).collect();
    values.reverse();
    values
}

#[test]
fn fewer_than_six_rounds_have_no_interval() {
    for n in 0..6 {
        assert_eq!(Interval::of(&vec![1.0; n]), None);
    }
    assert!(Interval::of(&[1.0; 6]).is_some());
}

#[test]
fn the_interval_is_between_the_places_of_the_binomial_distribution() {
    // From tables of the sign test: the rank, counted from either end, that bounds the 95 % interval of a median.
    for (n, place) in [
        (6, 1),
        (8, 1),
        (9, 2),
        (12, 3),
        (15, 4),
        (20, 6),
        (25, 8),
        (30, 10),
        (50, 18),
        (100, 40),
    ] {
        let interval = Interval::of(&rounds(n, 1.0, n as f64)).unwrap();
        assert_eq!(interval.low, place as f64, "{n}");
        assert_eq!(interval.high, (n + 1 - place) as f64, "{n}");
        assert_eq!(interval.median, f64::midpoint(1.0, n as f64), "{n}");
    }
}

#[test]
fn a_promise_is_kept_missed_or_not_decided_by_the_whole_interval() {
    let interval = |low, high| Interval {
        low,
        median: f64::midpoint(low, high),
        high,
    };
    assert_eq!(interval(0.99, 1.02).held_to(1.03), Judgement::Kept);
    assert_eq!(interval(0.99, 1.03).held_to(1.03), Judgement::Kept);
    assert_eq!(interval(1.01, 1.04).held_to(1.03), Judgement::NotDecided);
    assert_eq!(interval(1.03, 1.04).held_to(1.03), Judgement::NotDecided);
    assert_eq!(interval(1.04, 1.09).held_to(1.03), Judgement::Missed);
}

#[test]
fn a_scatter_greater_than_the_margin_decides_nothing_until_there_are_more_rounds() {
    let few = Interval::of(&rounds(7, 0.9, 1.1)).unwrap();
    assert_eq!(few.held_to(1.03), Judgement::NotDecided);
    let many = Interval::of(&rounds(200, 0.9, 1.1)).unwrap();
    assert_eq!(many.held_to(1.03), Judgement::Kept);
}

#[test]
fn one_disturbed_round_decides_nothing() {
    let mut values = rounds(21, 1.00, 1.02);
    let quiet = Interval::of(&values).unwrap();
    values[4] = 50.0;
    let disturbed = Interval::of(&values).unwrap();
    assert_eq!(disturbed.held_to(1.03), quiet.held_to(1.03));
    assert!(disturbed.high < 1.02);
}

#[test]
fn the_end_has_a_line_for_each_promise_that_is_not_kept() {
    let mut promises = Promises::default();
    let cheap = Interval::of(&rounds(9, 1.0, 1.01));
    let dear = Interval::of(&rounds(9, 1.2, 1.3));
    assert_eq!(promises.judge("cheap", cheap, 1.03, ""), Judgement::Kept);
    assert!(promises.are_kept());
    assert_eq!(promises.judge("few", None, 1.03, ""), Judgement::NotDecided);
    assert!(
        promises.are_kept(),
        "a promise that is not decided is not missed"
    );
    assert_eq!(promises.judge("dear", dear, 1.03, " s"), Judgement::Missed);
    promises.hold(true, "it was so".into());
    promises.hold(false, "it was not so".into());
    promises.ended("a part", Ok::<(), String>(()));
    promises.ended("another part", Err("it broke"));
    assert!(!promises.are_kept());
    assert_eq!(
        promises.to_string(),
        "not decided: few: too few rounds for an interval, promised at most 1.030\n\
         MISSED: dear: 1.250 (1.212–1.288) s, promised at most 1.030 s\n\
         MISSED: it was not so\n\
         MISSED: another part: failed: it broke\n\
         promises: 2 kept, 1 not decided, 3 missed"
    );
}

proptest! {
    #[test]
    fn the_interval_holds_the_median_and_gets_no_wider_than_the_rounds(
        values in prop::collection::vec(0.1_f64..10.0, 6..80)
    ) {
        let interval = Interval::of(&values).unwrap();
        prop_assert!(interval.low <= interval.median && interval.median <= interval.high);
        prop_assert!(values.contains(&interval.low) && values.contains(&interval.high));
    }
}
