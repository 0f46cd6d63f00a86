//! Judges whether a promise is kept, from rounds whose results vary.
//!
//! A promise is an upper bound of a cost. It is kept if the whole confidence interval is within the bound, missed if
//! the whole interval is beyond it, and not decided if the interval covers the bound: then more rounds are needed, and
//! no claim is made.

use std::fmt;

/// The minimum confidence of an interval.
const CONFIDENCE: f64 = 0.95;

/// The median of several rounds, and the interval that contains the true median with a confidence of 95 % or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The median of the rounds.
    pub median: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Returns the interval of these values, one per round. `None` for fewer than six, which have no such interval.
    ///
    /// The value of a round is below the true median as often as above it, however the values are distributed. So the
    /// number of values below it is binomial, and the true median lies between two of the sorted values with a
    /// probability that depends only on their ranks. One disturbed round moves the interval by at most one rank.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        // The probability that exactly, and that at most, `place` values are below the median.
        let mut exactly = 0.5_f64.powi(i32::try_from(n).ok()?);
        let mut at_most = exactly;
        let mut place = 0;
        while 2.0 * at_most <= 1.0 - CONFIDENCE {
            place += 1;
            exactly *= (n + 1 - place) as f64 / place as f64;
            at_most += exactly;
        }
        let last = n.checked_sub(place).filter(|_| place > 0)?;
        Some(Self {
            low: sorted[place - 1],
            median: f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]),
            high: sorted[last],
        })
    }

    /// Judges this interval against a bound.
    pub fn held_to(self, at_most: f64) -> Judgement {
        if self.high <= at_most {
            Judgement::Kept
        } else if self.low > at_most {
            Judgement::Missed
        } else {
            Judgement::NotDecided
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ({:.3}–{:.3})", self.median, self.low, self.high)
    }
}

/// The judgement of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The whole interval is within the bound.
    Kept,
    /// The whole interval is beyond the bound.
    Missed,
    /// The interval covers the bound, or there were too few rounds for an interval.
    NotDecided,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Missed => "MISSED",
            Self::NotDecided => "not decided",
        })
    }
}

/// The promises of a run, judged one after the other.
#[derive(Debug, Default)]
pub struct Promises {
    kept: usize,
    not_decided: Vec<String>,
    missed: Vec<String>,
}

impl Promises {
    /// Judges a promise: `what` costs `measured`, and `at_most` is promised. Both have the same `unit`, which may be
    /// empty.
    pub fn judge(
        &mut self,
        what: &str,
        measured: Option<Interval>,
        at_most: f64,
        unit: &str,
    ) -> Judgement {
        let judgement = measured.map_or(Judgement::NotDecided, |it| it.held_to(at_most));
        let found = measured.map_or_else(
            || String::from("too few rounds for an interval"),
            |it| format!("{it}{unit}"),
        );
        let line = format!("{what}: {found}, promised at most {at_most:.3}{unit}");
        match judgement {
            Judgement::Kept => self.kept += 1,
            Judgement::NotDecided => self.not_decided.push(line),
            Judgement::Missed => self.missed.push(line),
        }
        judgement
    }

    /// Judges a value that was measured once and either holds or does not.
    pub fn hold(&mut self, is_so: bool, what: String) {
        if is_so {
            self.kept += 1;
        } else {
            self.missed.push(what);
        }
    }

    /// Records the end of a part of the run. If it ended with an error, its promises are missed.
    pub fn ended<E: fmt::Display>(&mut self, part: &str, result: Result<(), E>) {
        if let Err(error) = result {
            self.missed.push(format!("{part}: failed: {error:#}"));
        }
    }

    /// Returns whether no promise was missed.
    pub fn are_kept(&self) -> bool {
        self.missed.is_empty()
    }
}

impl fmt::Display for Promises {
    /// Writes a line for each promise that was missed or is not decided, and a line with the counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.not_decided {
            writeln!(f, "not decided: {line}")?;
        }
        for line in &self.missed {
            writeln!(f, "MISSED: {line}")?;
        }
        write!(
            f,
            "promises: {} kept, {} not decided, {} missed",
            self.kept,
            self.not_decided.len(),
            self.missed.len()
        )
    }
}
