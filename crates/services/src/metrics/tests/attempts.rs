//! An attempt to authenticate is counted once, however it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

#[test]
fn an_attempt_is_counted_once_however_it_ends() {
    let it = Fixture::new();
    let begin = || it.metrics.auth_started(AuthOperation::Introspection);
    let failed = |service, reason| {
        let labels = [("service_id", service), ("reason", reason)];
        it.counter("failed_auths", &labels)
    };

    begin().finish(Some(MAILROOM), Ok(()));
    begin().finish(Some(MAILROOM), Err(AuthFailureReason::ExpiredToken));
    begin().finish(None, Err(AuthFailureReason::Malformed));
    drop(begin());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _attempt = begin();
        panic!("a bug in a handler");
    }));
    assert!(panicked.is_err());

    let success = it.counter("successful_auths", &[("service_id", MAILROOM)]);
    assert_eq!(success, Some(1));
    assert_eq!(failed(MAILROOM, "expired_token"), Some(1));
    for reason in ["malformed", "cancelled", "internal_error"] {
        assert_eq!(failed(OTHER_SERVICE, reason), Some(1), "{reason}");
    }
    let attempts = it.counts().into_iter();
    let attempts = attempts.filter(|((name, _), _)| name.contains("auths_total"));
    assert_eq!(
        attempts
            .map(|(_, n)| n.to_string())
            .filter(|n| n == "1")
            .count(),
        5
    );
    let timed = |service| {
        let labels = [("service_id", service), ("operation", "introspection")];
        it.collected
            .histogram_count("skriptoteket.auth_latency", &labels)
    };
    assert_eq!([timed(MAILROOM), timed(OTHER_SERVICE)], [Some(2), Some(3)]);
}

#[tokio::test]
async fn an_attempt_whose_client_goes_away_is_cancelled() {
    let it = Fixture::new();
    let attempt = it.metrics.auth_started(AuthOperation::TokenIssue);
    let request = async move {
        std::future::pending::<()>().await;
        attempt.finish(Some(MAILROOM), Ok(()));
    };
    let mut request = Box::pin(request);
    assert!(futures_util::poll!(&mut request).is_pending());
    it.clock.advance(Duration::from_secs(1));
    let labels = [("reason", "cancelled"), ("service_id", OTHER_SERVICE)];
    let before = it.counter("failed_auths", &labels);
    drop(request);
    assert_eq!(
        (before, it.counter("failed_auths", &labels)),
        (Some(0), Some(1))
    );
}

#[test]
fn the_status_of_a_refused_token_is_the_reason_of_its_refusal_where_it_is_one_of_tokens() {
    for reason in AuthFailureReason::ALL {
        let status = TokenStatus::from(reason).as_str();
        let is_one = TokenStatus::NAMES.contains(&reason.as_str());
        let expected = if is_one {
            reason.as_str()
        } else {
            "internal_error"
        };
        assert_eq!(status, expected);
    }
}
