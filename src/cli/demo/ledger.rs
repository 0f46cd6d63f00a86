//! The ledger: what the demo did, according to the responses. It is written independently of the metrics.

use std::sync::{Mutex, PoisonError};

use super::machines::{Call, Calls};

/// The kind of a login response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum LoginAnswer {
    /// 200.
    Success = 0,
    /// 401: wrong password, unknown or disabled.
    Refused = 1,
    /// 429: the account or the address is locked.
    Limited = 2,
    /// 403: another site sent it.
    CrossSite = 3,
    /// 5xx: the service could not decide.
    Failed = 4,
}

impl LoginAnswer {
    /// Every kind; `ALL[kind.index()] == kind`.
    pub(super) const ALL: [Self; 5] = [
        Self::Success,
        Self::Refused,
        Self::Limited,
        Self::CrossSite,
        Self::Failed,
    ];

    /// Returns the position of this kind in [`LoginAnswer::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Returns the kind of a response with this status; `None` for a status that the API does not define for a login.
    pub(super) const fn of(status: u16) -> Option<Self> {
        match status {
            200 => Some(Self::Success),
            401 => Some(Self::Refused),
            429 => Some(Self::Limited),
            403 => Some(Self::CrossSite),
            500..=599 => Some(Self::Failed),
            _ => None,
        }
    }
}

/// The counts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Login attempts by the kind of their response.
    pub(super) logins: [u64; 5],
    /// Login attempts without a response: the service may have counted them with any result, or not at all.
    pub(super) unanswered_logins: u64,
    /// Other requests with a response.
    pub(super) other_requests: u64,
    /// Other requests without a response.
    pub(super) unanswered_others: u64,
    /// Responses that the API's contract does not define.
    pub(super) odd_answers: u64,
    /// The calls of machines.
    pub(super) calls: Calls,
    /// Steps that were skipped because the service was too slow for the plan.
    pub(super) skipped: u64,
}

impl Counts {
    /// Returns the number of login attempts with this kind of response.
    pub(super) const fn of(&self, answer: LoginAnswer) -> u64 {
        self.logins[answer.index()]
    }

    /// Returns the number of failed login attempts with a response.
    pub(super) fn failures(&self) -> u64 {
        self.logins.iter().sum::<u64>() - self.of(LoginAnswer::Success)
    }

    /// Returns the number of all requests that were sent.
    pub(super) fn requests(&self) -> u64 {
        let logins = self.logins.iter().sum::<u64>() + self.unanswered_logins;
        let others = self.other_requests + self.unanswered_others + self.odd_answers;
        logins + others + self.calls.all()
    }
}

/// Counts requests; shared by all tasks that send them.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Counts>);

impl Ledger {
    /// Returns the counts so far.
    pub(super) fn counts(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a login attempt with the status of its response, or without a response.
    pub(super) fn login(&self, status: Option<u16>) {
        self.write(|counts| match status.map(LoginAnswer::of) {
            Some(Some(answer)) => counts.logins[answer.index()] += 1,
            Some(None) => counts.odd_answers += 1,
            None => counts.unanswered_logins += 1,
        });
    }

    /// Counts another request with the status of its response, or without a response. `expected` are the statuses
    /// that the contract defines for it, besides 5xx.
    pub(super) fn request(&self, status: Option<u16>, expected: &[u16]) {
        self.write(|counts| match status {
            Some(status) if expected.contains(&status) || status >= 500 => {
                counts.other_requests += 1;
            }
            Some(_) => counts.odd_answers += 1,
            None => counts.unanswered_others += 1,
        });
    }

    /// Counts a call of a machine with the status of its response, or without a response.
    pub(super) fn call(&self, call: Call, status: Option<u16>) {
        self.write(|counts| counts.calls.note(call, status));
    }

    /// Counts a skipped step.
    pub(super) fn skipped(&self) {
        self.write(|counts| counts.skipped += 1);
    }

    fn write(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_answer_is_its_index() {
        for (index, answer) in LoginAnswer::ALL.into_iter().enumerate() {
            assert_eq!(answer.index(), index);
        }
    }

    #[test]
    fn logins_are_counted_by_their_answer() {
        let ledger = Ledger::default();
        for status in [200, 200, 401, 403, 429, 429, 503, 500] {
            ledger.login(Some(status));
        }
        ledger.login(None);
        let counts = ledger.counts();
        assert_eq!(counts.logins, [2, 1, 2, 1, 2]);
        assert_eq!((counts.failures(), counts.unanswered_logins), (6, 1));
        assert_eq!(counts.requests(), 9);
    }

    #[test]
    fn an_answer_that_the_contract_does_not_have_is_odd() {
        let ledger = Ledger::default();
        ledger.login(Some(404));
        ledger.request(Some(418), &[200, 401]);
        ledger.request(Some(401), &[200, 401]);
        ledger.request(Some(503), &[200, 401]);
        ledger.request(None, &[200, 401]);
        let counts = ledger.counts();
        assert_eq!((counts.odd_answers, counts.other_requests), (2, 2));
        assert_eq!(counts.unanswered_others, 1);
    }
}
