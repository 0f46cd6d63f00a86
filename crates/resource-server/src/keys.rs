//! The public keys of an issuer, kept as current as necessary.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use reqwest::header::{CACHE_CONTROL, HeaderMap};

use super::{
    issuer::{Issuer, Unanswered, answer, text},
    single_flight::{Completed, SingleFlight},
};
use skriptoteket_core::clock::Clock;
use skriptoteket_services::VerificationKeys;

/// How long keys are considered current if the issuer does not specify it.
const FRESH: Duration = Duration::from_mins(5);

/// The range of lifetimes that an issuer may specify.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_hours(24);

/// How long after their fetch keys stay in use if the issuer does not respond.
const LAST: Duration = Duration::from_hours(24);

/// Minimum time between fetches because of an unknown key. A key is published for longer than this before it signs, so
/// more recent key sets contain it.
const BETWEEN: Duration = Duration::from_secs(1);

/// Minimum time between fetches while the issuer is unavailable and there are usable keys.
const BETWEEN_IN_OUTAGE: Duration = Duration::from_secs(5);

/// The keys that an issuer has published, and the text that they were parsed from.
pub(super) struct KeySet {
    pub(super) keys: VerificationKeys,
    text: String,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.keys.fmt(f)
    }
}

/// A key set, and how long it is current.
#[derive(Clone, Debug)]
struct Fetched {
    keys: Arc<KeySet>,
    asked_at: Duration,
    fresh_for: Duration,
}

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: Issuer,
    clock: Arc<dyn Clock>,
    /// The result of the last successful fetch.
    fetched: RwLock<Option<Fetched>>,
    flight: SingleFlight<Arc<KeySet>>,
}

impl Keys {
    pub(super) fn new(issuer: Issuer, clock: Arc<dyn Clock>) -> Self {
        Self {
            issuer,
            clock,
            fetched: RwLock::default(),
            flight: SingleFlight::default(),
        }
    }

    /// Returns the keys if no request is necessary.
    pub(super) fn cached(&self) -> Option<Arc<KeySet>> {
        let fetched = self.fetched()?;
        let now = self.clock.monotonic();
        if fetched.age(now) < fetched.fresh_for {
            return Some(fetched.keys);
        }
        let usable = self.usable()?;
        let last = self.flight.last()?;
        let waits = last.outcome.is_err()
            && (now.saturating_sub(last.back_at) < BETWEEN_IN_OUTAGE || self.flight.is_under_way());
        waits.then_some(usable)
    }

    /// Returns the keys. If they are due and the issuer does not respond, returns the last fetched ones.
    pub(super) async fn get(&self) -> Result<Arc<KeySet>, Unanswered> {
        if let Some(keys) = self.cached() {
            return Ok(keys);
        }
        let enough = |last: &Completed<_>| match last.outcome {
            Ok(_) => self.is_fresh(),
            Err(_) => self.is_young(last.back_at),
        };
        self.ask(enough).await.or_else(|why| match self.usable() {
            Some(keys) => Ok(keys),
            None => Err(why),
        })
    }

    /// Returns keys that were current at most [`BETWEEN`] ago, for a token whose key is not among the cached ones.
    pub(super) async fn of_late(&self) -> Result<Arc<KeySet>, Unanswered> {
        self.ask(|last: &Completed<_>| match last.outcome {
            Ok(_) => self.is_young(last.asked_at),
            Err(_) => self.is_young(last.back_at),
        })
        .await
    }

    async fn ask(
        &self,
        enough: impl Fn(&Completed<Arc<KeySet>>) -> bool,
    ) -> Result<Arc<KeySet>, Unanswered> {
        let question = async {
            let outcome = self.fetch().await;
            let failed_before = self.flight.last().is_some_and(|it| it.outcome.is_err());
            match &outcome {
                Ok(_) if failed_before => {
                    tracing::info!(
                        issuer = self.issuer.name(),
                        "the issuer's keys can be fetched again"
                    );
                }
                // Logged once, not at every attempt.
                Err(error) if !failed_before => tracing::warn!(
                    issuer = self.issuer.name(),
                    error = error as &dyn std::error::Error,
                    "the issuer's keys cannot be fetched; the last fetched keys stay in use for up to 24 hours"
                ),
                _ => {}
            }
            outcome
        };
        self.flight
            .ask(&*self.clock, enough, question)
            .await
            .outcome
    }

    async fn fetch(&self) -> Result<Arc<KeySet>, Unanswered> {
        let asked_at = self.clock.monotonic();
        let response = answer(self.issuer.get("/.well-known/jwks.json")).await?;
        let fresh_for = fresh_for(response.headers());
        let text = text(response).await?;
        let before = self.fetched().map(|it| it.keys);
        let keys = if let Some(keys) = before.filter(|keys| keys.text == text) {
            // An unchanged set keeps its identity, so tokens verified with it need not be verified again.
            keys
        } else {
            let keys = VerificationKeys::from_jwks(&text);
            let keys = keys.map_err(|_| Unanswered::Unreadable("it is not a usable JWK Set"))?;
            Arc::new(KeySet { keys, text })
        };
        let mut fetched = self.fetched.write().unwrap_or_else(PoisonError::into_inner);
        *fetched = Some(Fetched {
            keys: Arc::clone(&keys),
            asked_at,
            fresh_for,
        });
        Ok(keys)
    }

    fn fetched(&self) -> Option<Fetched> {
        let fetched = self.fetched.read();
        fetched.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the last fetched keys, if they are not too old.
    fn usable(&self) -> Option<Arc<KeySet>> {
        let now = self.clock.monotonic();
        let usable = self.fetched().filter(|it| it.age(now) < LAST);
        usable.map(|it| it.keys)
    }

    fn is_fresh(&self) -> bool {
        let now = self.clock.monotonic();
        self.fetched().is_some_and(|it| it.age(now) < it.fresh_for)
    }

    fn is_young(&self, then: Duration) -> bool {
        self.clock.monotonic().saturating_sub(then) < BETWEEN
    }
}

impl Fetched {
    fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.asked_at)
    }
}

/// Returns how long a response with these headers is current.
fn fresh_for(headers: &HeaderMap) -> Duration {
    let all = headers.get_all(CACHE_CONTROL).iter();
    let directives = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().to_ascii_lowercase());
    let mut said = None;
    for directive in directives {
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return SHORTEST;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            said = seconds.trim_matches('"').parse().ok().or(said);
        }
    }
    said.map_or(FRESH, |seconds| {
        Duration::from_secs(seconds).clamp(SHORTEST, LONGEST)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_says_for_how_long_within_bounds() {
        for (said, seconds) in [
            ("", 300),
            ("public", 300),
            ("max-age=60", 60),
            ("public, Max-Age=\"120\"", 120),
            ("max-age=0", 30),
            ("max-age=99999999", 86_400),
            ("max-age=x", 300),
            ("max-age=-1", 300),
            ("no-store, max-age=600", 30),
            ("max-age=600, no-cache", 30),
        ] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, said.parse().unwrap())]);
            assert_eq!(fresh_for(&headers).as_secs(), seconds, "{said}");
        }
        assert_eq!(fresh_for(&HeaderMap::new()), FRESH);
    }
}
