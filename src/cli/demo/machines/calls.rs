//! What machines did, according to the responses. It is counted independently of the metrics.

/// Why a machine was not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(in crate::cli::demo) enum Refusal {
    /// 401: the secret is wrong.
    WrongSecret = 0,
    /// 401: the secret has been replaced, and its overlap is over.
    RetiredSecret = 1,
    /// 401: the token has expired or was revoked.
    Token = 2,
    /// 429: too many token requests.
    Limited = 3,
}

/// A call of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli::demo) enum Call {
    /// Requests a token with its secret.
    Token,
    /// Requests a token with the previous secret.
    TokenByRetired,
    /// Requests a token with a wrong secret.
    TokenByWrong,
    GiveBack,
    /// Uses its token: charges a request, or sends a heartbeat.
    Bearer,
}

/// The counts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli::demo) struct Calls {
    /// Calls that were authenticated, including those that a limit rejected afterwards.
    pub(in crate::cli::demo) authenticated: u64,
    /// Authenticated calls with a token.
    pub(in crate::cli::demo) by_token: u64,
    /// Calls that were not authenticated, by [`Refusal`].
    pub(in crate::cli::demo) refused: [u64; 4],
    /// Calls that a limit rejected, before or after authentication.
    pub(in crate::cli::demo) over_limit: u64,
    /// Calls with a replaced secret that is still accepted.
    pub(in crate::cli::demo) retired: u64,
    /// Calls with a 5xx response, or without a response: the service may have authenticated them or not.
    pub(in crate::cli::demo) unclear: u64,
    /// Responses that the API's contract does not define.
    pub(in crate::cli::demo) odd: u64,
}

impl Calls {
    /// Returns the number of calls that were not authenticated for this reason.
    pub(in crate::cli::demo) const fn of(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }

    /// Returns the number of calls that were not authenticated.
    pub(in crate::cli::demo) fn not_authenticated(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Returns the number of all calls.
    pub(in crate::cli::demo) fn all(&self) -> u64 {
        self.authenticated + self.not_authenticated() + self.unclear + self.odd
    }

    /// Counts a call with the status of its response, or without a response.
    pub(in crate::cli::demo) fn note(&mut self, call: Call, status: Option<u16>) {
        match (call, status) {
            (_, None | Some(500..)) => self.unclear += 1,
            (Call::Bearer, Some(200 | 204 | 429)) => {
                self.authenticated += 1;
                self.by_token += 1;
            }
            (Call::Token | Call::TokenByRetired | Call::GiveBack, Some(200)) => {
                self.authenticated += 1;
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
        // The limit is checked after the secret was accepted.
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
