//! What machines did, by what the answers said. Written without a look at the metrics.

/// Why a machine was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(in crate::cli::demo) enum Refusal {
    /// 401: the secret was never its own.
    WrongSecret = 0,
    /// 401: the secret has been replaced, and its time is over.
    RetiredSecret = 1,
    /// 401: the token has expired, or was given back.
    Token = 2,
    /// 429: it asked for more tokens than it may.
    Limited = 3,
}

/// What a machine asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::demo) enum Call {
    /// A token, with its secret.
    Token,
    /// A token, with the secret before.
    TokenByRetired,
    /// A token, with a wrong secret.
    TokenByWrong,
    /// To give a token back.
    GiveBack,
    /// Something, with its token: a request is charged, or a sign of life is given.
    Bearer,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli::demo) struct Calls {
    /// Calls that were let in, those among them that a limit refused afterwards.
    pub(in crate::cli::demo) authenticated: u64,
    /// Those among them that came with a token.
    pub(in crate::cli::demo) by_token: u64,
    /// Calls that were not let in, by [`Refusal`].
    pub(in crate::cli::demo) refused: [u64; 4],
    /// Calls that a limit refused, whether it did so at the door or behind it.
    pub(in crate::cli::demo) over_limit: u64,
    /// Calls with a secret that was replaced and is still accepted.
    pub(in crate::cli::demo) retired: u64,
    /// Calls that were answered with 5xx, or not at all: the service may have let them in or not.
    pub(in crate::cli::demo) unclear: u64,
    /// Answers that the API's contract does not have.
    pub(in crate::cli::demo) odd: u64,
}

impl Calls {
    /// Calls that were not let in for this reason.
    pub(in crate::cli::demo) const fn of(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }

    /// Calls that were not let in.
    pub(in crate::cli::demo) fn not_let_in(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// All that were sent.
    pub(in crate::cli::demo) fn all(&self) -> u64 {
        self.authenticated + self.not_let_in() + self.unclear + self.odd
    }

    /// A call came back with this status, or not at all.
    pub(in crate::cli::demo) fn note(&mut self, call: Call, status: Option<u16>) {
        match (call, status) {
            (_, None | Some(500..)) => self.unclear += 1,
            (Call::Bearer, Some(200 | 204 | 429)) => {
                self.authenticated += 1;
                self.by_token += 1;
            }
            (Call::Token | Call::TokenByRetired | Call::GiveBack, Some(200)) => {
                self.authenticated += 1
            }
            (Call::Token | Call::TokenByRetired, Some(429)) => self.refuse(Refusal::Limited),
            (Call::TokenByWrong, Some(401)) => self.refuse(Refusal::WrongSecret),
            (Call::TokenByRetired, Some(401)) => self.refuse(Refusal::RetiredSecret),
            (Call::Bearer, Some(401)) => self.refuse(Refusal::Token),
            _ => self.odd += 1,
        }
        if status == Some(429) {
            self.over_limit += 1;
        }
        // The limit is looked at after the secret was accepted.
        if call == Call::TokenByRetired && matches!(status, Some(200 | 429)) {
            self.retired += 1;
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_by_what_it_was_and_how_it_was_answered() {
        let mut calls = Calls::default();
        for (call, status) in [
            (Call::Token, 200),
            (Call::Token, 429),
            (Call::TokenByRetired, 200),
            (Call::TokenByRetired, 429),
            (Call::TokenByRetired, 401),
            (Call::TokenByWrong, 401),
            (Call::GiveBack, 200),
            (Call::Bearer, 200),
            (Call::Bearer, 204),
            (Call::Bearer, 429),
            (Call::Bearer, 401),
            (Call::Bearer, 503),
        ] {
            calls.note(call, Some(status));
        }
        calls.note(Call::Token, None);
        assert_eq!((calls.authenticated, calls.by_token), (6, 3));
        assert_eq!(calls.refused, [1, 1, 1, 2]);
        assert_eq!((calls.over_limit, calls.retired), (3, 2));
        assert_eq!((calls.unclear, calls.odd, calls.all()), (2, 0, 13));
    }

    #[test]
    fn an_answer_that_the_contract_does_not_have_is_odd() {
        let mut calls = Calls::default();
        calls.note(Call::TokenByWrong, Some(200));
        calls.note(Call::Token, Some(401));
        calls.note(Call::Bearer, Some(403));
        assert_eq!((calls.odd, calls.all(), calls.authenticated), (3, 3, 0));
    }
}
