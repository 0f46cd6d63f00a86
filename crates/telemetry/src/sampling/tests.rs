//! Which requests get a span, which trace it belongs to, and what is logged.

use tracing::field::Empty;

use super::*;
use crate::{
    LogFormat,
    tracing::tests::{Heard, hear_sampled, logs},
};
use skriptoteket_core::clock::ManualClock;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn ratio(ratio: f64) -> SampledShare {
    SampledShare::from_ratio(ratio)
}

fn facts(status: u16, took: Duration) -> RequestFacts {
    RequestFacts {
        method: "GET",
        route: Some("/api/session"),
        status,
        took,
    }
}

const FAST: Duration = Duration::from_millis(1);

/// A request as the HTTP layer handles it, with a call within it.
fn request(traces: &RequestTraces, parent: Option<&str>, facts: RequestFacts) {
    let trace = traces.begin(|| parent);
    let span = if trace.is_sampled() {
        tracing::debug_span!("request", otel.kind = "server", http.route = Empty)
    } else {
        Span::none()
    };
    trace.join(&span);
    span.in_scope(|| {
        tracing::debug_span!("call").in_scope(|| tracing::info!("within"));
    });
    traces.end(&trace, &span, facts);
}

fn heard(parent_based: bool, others: SampledShare, say: impl FnOnce(&RequestTraces)) -> Heard {
    let sampler = TraceSampler {
        parent_based,
        others,
    };
    let clock = Arc::new(ManualClock::default());
    hear_sampled(&logs(LogFormat::Json), false, &clock, sampler, say)
}

fn names(heard: &Heard) -> Vec<&str> {
    heard.spans.iter().map(|it| it.name.as_ref()).collect()
}

#[test]
fn a_request_that_is_not_sampled_makes_no_span_nor_do_the_calls_in_it() {
    let heard = heard(true, ratio(0.0), |traces| {
        for _ in 0..100 {
            request(traces, None, facts(200, FAST));
            request(traces, None, facts(404, FAST));
        }
    });
    assert_eq!(names(&heard), [""; 0]);
    assert!(heard.lines.iter().all(|line| line.contains("within")));
}

#[test]
fn a_share_of_requests_is_traced_whole() {
    let heard = heard(true, ratio(0.25), |traces| {
        for _ in 0..2_000 {
            request(traces, None, facts(200, FAST));
        }
    });
    let requests = heard.spans.iter().filter(|it| it.name == "request");
    let calls = heard.spans.iter().filter(|it| it.name == "call").count();
    let requests = requests.count();
    assert_eq!(requests, calls);
    // Eight standard deviations on either side.
    assert!((345..655).contains(&requests), "{requests}");
}

#[test]
fn a_caller_decides_and_its_trace_goes_on() {
    let header = |flags| format!("00-{TRACE}-{CALLER}-{flags}");
    let (sampled, not) = (header("01"), header("00"));
    for others in [ratio(0.0), SampledShare::Nothing, SampledShare::ALL] {
        let heard = heard(true, others, |traces| {
            request(traces, Some(&sampled), facts(200, FAST));
            request(traces, Some(&not), facts(200, FAST));
        });
        assert_eq!(names(&heard), ["call", "request"], "{others:?}");
        for span in &heard.spans {
            assert_eq!(span.span_context.trace_id().to_string(), TRACE);
        }
        assert_eq!(heard.spans[1].parent_span_id.to_string(), CALLER);
        // The record contains the trace ID, so that the two can be correlated.
        assert!(heard.records[0].contains(TRACE));
    }
}

#[test]
fn a_sampler_that_is_not_parent_based_goes_by_the_trace_id() {
    let low = "00-4bf92f3577b34da60000000000000001-00f067aa0ba902b7-00";
    let high = "00-4bf92f3577b34da6ffffffffffffffff-00f067aa0ba902b7-01";
    let heard = heard(false, ratio(0.5), |traces| {
        request(traces, Some(low), facts(200, FAST));
        request(traces, Some(high), facts(200, FAST));
    });
    assert_eq!(names(&heard), ["call", "request"]);
    assert_eq!(heard.spans[1].parent_span_id.to_string(), CALLER);
}

#[test]
fn a_header_that_is_none_begins_a_trace() {
    let heard = heard(true, SampledShare::ALL, |traces| {
        for header in [
            "",
            "00-zz-zz-01",
            "\u{1f5dd}",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            request(traces, Some(header), facts(200, FAST));
        }
    });
    let requests: Vec<_> = heard
        .spans
        .iter()
        .filter(|it| it.name == "request")
        .collect();
    assert_eq!(requests.len(), 4);
    for request in requests {
        assert_eq!(request.parent_span_id.to_string(), "0000000000000000");
    }
}

#[test]
fn what_fails_or_is_slow_is_kept_and_the_log_names_its_trace() {
    let not_sampled = format!("00-{TRACE}-{CALLER}-00");
    let heard = heard(true, ratio(0.0), |traces| {
        request(traces, None, facts(503, FAST));
        request(
            traces,
            Some(&not_sampled),
            facts(200, Duration::from_secs(3)),
        );
    });
    assert_eq!(names(&heard), ["GET /api/session"; 2]);
    let [failed, slow] = [&heard.spans[0], &heard.spans[1]];
    assert_eq!(failed.status, Status::error(""));
    assert_eq!(slow.status, Status::Unset);
    assert_eq!(slow.parent_span_id.to_string(), CALLER);
    let took = slow.end_time.duration_since(slow.start_time).unwrap();
    assert_eq!(took, Duration::from_secs(3));
    for (span, kind) in [(failed, "failed"), (slow, "slow")] {
        let has = |key, value: &str| {
            let mut attributes = span.attributes.iter();
            attributes.any(|it| it.key.as_str() == key && it.value.to_string() == value)
        };
        assert!(has("skriptoteket.kept", kind) && has("http.route", "/api/session"));
        let trace = span.span_context.trace_id().to_string();
        let told = |line: &&String| line.contains(&trace) && line.contains(kind);
        assert_eq!(
            heard.lines.iter().filter(told).count(),
            1,
            "{:?}",
            heard.lines
        );
    }
}

#[test]
fn of_many_that_fail_some_are_kept_and_one_is_told() {
    let clock = Arc::new(ManualClock::default());
    let sampler = TraceSampler::default();
    let sampler = TraceSampler {
        others: ratio(0.0),
        ..sampler
    };
    let heard = hear_sampled(&logs(LogFormat::Json), false, &clock, sampler, |traces| {
        for _second in 0..3 {
            for _ in 0..100 {
                request(traces, None, facts(500, FAST));
            }
            clock.advance(Duration::from_secs(1));
        }
        clock.advance(Duration::from_mins(1));
        request(traces, None, facts(500, FAST));
    });
    assert_eq!(heard.spans.len(), 31);
    let told = heard
        .lines
        .iter()
        .filter(|line| line.contains("has a trace"));
    assert_eq!(told.count(), 2);
}

#[test]
fn a_sampler_that_is_off_keeps_nothing() {
    let heard = heard(true, SampledShare::Nothing, |traces| {
        request(traces, None, facts(500, Duration::from_secs(3)));
    });
    assert_eq!(names(&heard), [""; 0]);
    assert!(heard.lines.iter().all(|line| line.contains("within")));
}

#[test]
fn a_sampled_request_that_fails_is_told_and_not_kept_twice() {
    let heard = heard(true, SampledShare::ALL, |traces| {
        request(traces, None, facts(500, FAST));
    });
    assert_eq!(names(&heard), ["call", "request"]);
    let trace = heard.spans[1].span_context.trace_id().to_string();
    let told = heard.lines.iter().filter(|line| line.contains(&trace));
    assert_eq!(told.count(), 1, "{:?}", heard.lines);
}
