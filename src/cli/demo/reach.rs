//! Tracks whether the service responds, and if not, why.

use std::{
    error::Error,
    io::{self, IsTerminal},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{cli::output::note, clock::Clock};

/// Interval at which it is checked whether the service responds.
const LOOK: Duration = Duration::from_millis(250);

/// Time without a response before a message, and between messages.
const TELL: Duration = Duration::from_secs(5);

/// When the service last responded. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    state: Arc<Mutex<State>>,
    /// Maximum time without a response.
    limit: Duration,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last response arrived, on the monotonic clock.
    answered: Option<Duration>,
    silence: Option<Silence>,
}

/// All requests since then failed, for this reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    since: Duration,
    /// The description of the last failure.
    pub(super) cause: String,
}

impl Reach {
    /// Creates the tracker before the first request.
    pub(super) fn new(clock: Arc<dyn Clock>, limit: Duration) -> Self {
        Self {
            state: Arc::default(),
            limit,
            clock,
        }
    }

    /// Returns the maximum time without a response.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns the current time, to pass to [`Reach::failed`].
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a response, whatever its status.
    pub(super) fn answered(&self) {
        *self.state() = State {
            answered: Some(self.now()),
            silence: None,
        };
    }

    /// Records that a request sent at this time failed.
    pub(super) fn failed(&self, sent: Duration, cause: String) {
        let mut state = self.state();
        let began = state.answered.map_or(sent, |answered| answered.max(sent));
        let silence = state.silence.as_ref();
        let since = silence.map_or(began, |silence| silence.since.min(began));
        state.silence = Some(Silence { since, cause });
    }

    /// Returns how long there has been no response, and why; nothing if the last request succeeded, or none was sent.
    pub(super) fn silence(&self) -> Option<(Duration, String)> {
        let state = self.state();
        let silence = state.silence.as_ref()?;
        Some((
            self.now().saturating_sub(silence.since),
            silence.cause.clone(),
        ))
    }

    /// Returns the cause once the maximum time without a response has passed.
    pub(super) fn lost(&self) -> Option<String> {
        let (lasts, cause) = self.silence()?;
        (lasts >= self.limit).then_some(cause)
    }

    /// Waits until the service is lost, and returns the cause. Messages until then are passed to `tell`.
    pub(super) async fn until_lost(&self, tell: impl Fn(&str)) -> String {
        let mut told = 0;
        loop {
            if let Some(cause) = self.lost() {
                return cause;
            }
            if let Some(news) = self.news(&mut told) {
                tell(&news);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Returns the next message about this silence, if it is due; `told` counts those already shown.
    fn news(&self, told: &mut u32) -> Option<String> {
        match self.silence() {
            Some((lasts, cause)) if lasts >= TELL * (*told + 1) => {
                *told += 1;
                Some(waiting(lasts, self.limit, &cause))
            }
            None if std::mem::take(told) > 0 => Some("the service answers again".into()),
            _ => None,
        }
    }
}

/// The message while there is no response.
pub(super) fn waiting(lasts: Duration, limit: Duration, cause: &str) -> String {
    format!(
        "no answer for {} s, giving up after {} s: {cause}",
        lasts.as_secs(),
        limit.as_secs_f32()
    )
}

/// Prints to standard error, unless that would disturb the live view.
pub(super) fn tell_beside_the_view(what: &str) {
    if !io::stdout().is_terminal() {
        note(what);
    }
}

/// Explains why a request failed, and how to correct it. The URL is not included.
pub(super) fn cause(error: reqwest::Error) -> String {
    let is_timeout = error.is_timeout();
    let error = error.without_url();
    let (mut texts, mut next) = (Vec::new(), Some(&error as &dyn Error));
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    in_words(&texts, is_timeout)
}

/// Explains the texts of an error and its causes. The last one is the most specific.
fn in_words(texts: &[String], is_timeout: bool) -> String {
    let last = texts.last().map_or("", String::as_str);
    let any = |parts: &[&str]| {
        let has = |text: &String| parts.iter().any(|part| text.contains(part));
        texts.iter().any(has)
    };
    if any(&["dns error", "failed to lookup"]) {
        format!(
            "the host name is not resolved (DNS: {last}); check its spelling and the resolver of this machine"
        )
    } else if any(&["Connection refused"]) {
        "connection refused: nothing listens there; check host and port, and that the service runs"
            .into()
    } else if any(&["peer sent no certificates", "certificate"]) {
        format!(
            "TLS: the certificate is not accepted ({last}); name the PEM file of its authority in SSL_CERT_FILE, and a host that \
             the certificate is for"
        )
    } else if any(&[
        "corrupt message",
        "tls handshake eof",
        "received fatal alert",
    ]) {
        format!(
            "TLS: no handshake ({last}); if the server does not use TLS, the URL begins with http://"
        )
    } else if is_timeout {
        "timeout: it does not answer in time; check the address, and firewalls on the way".into()
    } else if any(&[
        "invalid HTTP version",
        "connection closed before message completed",
        "Connection reset",
    ]) {
        format!("no answer in HTTP ({last}); if the server uses TLS, the URL begins with https://")
    } else {
        format!("{last}; check host and port")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const LIMIT: Duration = Duration::from_secs(30);

    fn reach() -> (Arc<ManualClock>, Reach) {
        let clock = Arc::new(ManualClock::default());
        let reach = Reach::new(Arc::clone(&clock) as Arc<dyn Clock>, LIMIT);
        (clock, reach)
    }

    #[test]
    fn a_service_is_lost_when_nothing_was_answered_for_as_long_as_that_may_be() {
        let (clock, reach) = reach();
        // No requests are sent at night.
        reach.answered();
        clock.advance(2 * LIMIT);
        assert_eq!(reach.lost(), None);
        reach.failed(reach.now(), "refused".into());
        clock.advance(LIMIT / 2);
        reach.answered();
        reach.failed(reach.now(), "refused".into());
        clock.advance(LIMIT / 2);
        reach.failed(reach.now(), "away".into());
        assert_eq!(reach.lost(), None);
        clock.advance(LIMIT / 2);
        assert_eq!(reach.lost().as_deref(), Some("away"));
    }

    #[test]
    fn the_time_that_a_request_waited_for_its_answer_counts_but_not_what_was_before_another_answer()
    {
        let (clock, reach) = reach();
        let first = reach.now();
        clock.advance(LIMIT);
        reach.failed(first, "timeout".into());
        assert_eq!(reach.lost().as_deref(), Some("timeout"));
        let second = reach.now();
        clock.advance(LIMIT);
        reach.answered();
        reach.failed(second, "timeout".into());
        assert_eq!(reach.lost(), None);
    }

    #[test]
    fn silence_is_told_again_and_again_and_its_end_once() {
        let (clock, reach) = reach();
        let mut told = 0;
        reach.failed(reach.now(), "refused".into());
        assert_eq!(reach.news(&mut told), None);
        clock.advance(TELL);
        let news = reach.news(&mut told);
        let expected = "no answer for 5 s, giving up after 30 s: refused";
        assert_eq!(news.as_deref(), Some(expected));
        assert_eq!(reach.news(&mut told), None);
        clock.advance(TELL);
        assert!(reach.news(&mut told).unwrap().contains("for 10 s"));
        reach.answered();
        let news = reach.news(&mut told);
        assert_eq!(news.as_deref(), Some("the service answers again"));
        assert_eq!(reach.news(&mut told), None);
    }

    #[test]
    fn causes_are_told_apart() {
        let told = |texts: &[&str], is_timeout| {
            let texts: Vec<String> = texts.iter().map(|it| (*it).to_owned()).collect();
            in_words(&texts, is_timeout)
        };
        let connect = "client error (Connect)";
        assert!(
            told(&[connect, "dns error", "no such host"], false).contains("(DNS: no such host)")
        );
        let refused = ["tcp connect error", "Connection refused (os error 111)"];
        assert!(told(&refused, false).starts_with("connection refused"));
        let untrusted = [connect, "invalid peer certificate: UnknownIssuer"];
        assert!(told(&untrusted, false).contains("SSL_CERT_FILE"));
        let plain = [
            connect,
            "received corrupt message of type InvalidContentType",
        ];
        assert!(told(&plain, false).contains("http://"));
        let tls = ["client error (SendRequest)", "invalid HTTP version parsed"];
        assert!(told(&tls, false).contains("https://"));
        assert!(told(&["operation timed out"], true).starts_with("timeout"));
        assert!(told(&["a", "host unreachable"], false).starts_with("host unreachable"));
    }
}
