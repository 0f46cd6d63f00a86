//! The metrics of HTTP requests, according to the semantic conventions for HTTP servers.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{BoundHistogram, Histogram, Meter},
};

use skriptoteket_core::{clock::Clock, metric::Attribute, metrics};

/// HTTP methods used as label values; all others are `_OTHER`, as in the semantic conventions.
const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "_OTHER",
];

/// Values of `url.scheme`.
const SCHEMES: [&str; 2] = ["http", "https"];

const METHOD: Attribute = Attribute::closed("http.request.method", &METHODS);
const SCHEME: Attribute = Attribute::closed("url.scheme", &SCHEMES);
const ROUTE: Attribute = Attribute::bounded(
    "http.route",
    "the matched patterns of the route table; absent where none matched",
);
const STATUS_CODE: Attribute =
    Attribute::bounded("http.response.status_code", "the statuses of the API");

metrics! {
    REQUEST_DURATION = Histogram("http.server.request.duration", "s", PerInstance, [METHOD, ROUTE, STATUS_CODE, SCHEME],
        "Duration of HTTP server requests");
    ACTIVE_REQUESTS = ObservableUpDownCounter("http.server.active_requests", "{request}", PerInstance, [METHOD, SCHEME],
        "Number of active HTTP server requests");
}

/// Bucket bounds in seconds: from a look-up in memory to the longest time that a client waits.
const REQUEST_BOUNDS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Labels known before the response, all from closed sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLabels {
    method: usize,
    scheme: usize,
}

impl RequestLabels {
    /// Labels of a request with this method; an unknown method becomes `_OTHER`.
    #[must_use]
    pub fn new(method: &str, https: bool) -> Self {
        let known = METHODS.iter().position(|it| *it == method);
        Self {
            method: known.unwrap_or(METHODS.len() - 1),
            scheme: usize::from(https),
        }
    }

    /// Returns the method as a label value.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        METHODS[self.method]
    }
}

/// Requests in flight, by method and scheme.
type InFlight = [[AtomicI64; SCHEMES.len()]; METHODS.len()];

/// Records HTTP requests according to the semantic conventions for HTTP servers. Cheap to clone.
#[derive(Clone)]
pub struct HttpMetrics(Arc<HttpInstruments>);

struct HttpInstruments {
    duration: Histogram<f64>,
    in_flight: Arc<InFlight>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for HttpMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpMetrics")
    }
}

impl HttpMetrics {
    /// Builds the histogram on `meter` and registers the number of requests in flight on each of `observed`.
    #[must_use]
    pub fn new(meter: &Meter, observed: &[Meter], clock: Arc<dyn Clock>) -> Self {
        let in_flight: Arc<InFlight> = Arc::default();
        for meter in observed {
            register_in_flight(meter, &in_flight);
        }
        let duration = REQUEST_DURATION.histogram(meter, &REQUEST_BOUNDS);
        Self(Arc::new(HttpInstruments {
            duration,
            in_flight,
            clock,
        }))
    }

    /// Returns the recorder of one worker thread.
    #[must_use]
    pub fn recorder(&self) -> HttpRecorder {
        HttpRecorder(Rc::new(Recorder {
            metrics: self.clone(),
            bound: RefCell::default(),
        }))
    }
}

/// Records the requests of one thread. Cheap to clone.
///
/// Caches the series that it has used. A look-up among all series, under a lock shared by all threads, costs more than
/// the rest of a recording.
#[derive(Clone)]
pub struct HttpRecorder(Rc<Recorder>);

struct Recorder {
    metrics: HttpMetrics,
    bound: RefCell<HashMap<Series, BoundHistogram<f64>>>,
}

/// Identifies a series of the duration; all values are from closed sets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Series {
    method: usize,
    scheme: usize,
    status: u16,
    route: Option<&'static str>,
}

impl fmt::Debug for HttpRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpRecorder")
    }
}

impl HttpRecorder {
    /// Starts a request. It is in flight until the timer is dropped.
    pub fn request_started(&self, labels: RequestLabels) -> RequestTimer {
        let HttpInstruments {
            in_flight, clock, ..
        } = &*self.0.metrics.0;
        in_flight[labels.method][labels.scheme].fetch_add(1, Ordering::Relaxed);
        RequestTimer {
            started: clock.monotonic(),
            recorder: self.clone(),
            labels,
        }
    }
}

impl Recorder {
    fn record(&self, seconds: f64, series: Series) {
        let mut bound = self.bound.borrow_mut();
        let histogram = bound.entry(series).or_insert_with(|| self.bind(series));
        histogram.record(seconds);
    }

    fn bind(&self, series: Series) -> BoundHistogram<f64> {
        let duration = &self.metrics.0.duration;
        let method = KeyValue::new(METHOD.key, METHODS[series.method]);
        let scheme = KeyValue::new(SCHEME.key, SCHEMES[series.scheme]);
        let status = KeyValue::new(STATUS_CODE.key, i64::from(series.status));
        match series.route {
            Some(route) => {
                let route = KeyValue::new(ROUTE.key, route);
                duration.bind(&[method, route, status, scheme])
            }
            None => duration.bind(&[method, status, scheme]),
        }
    }
}

fn register_in_flight(meter: &Meter, in_flight: &Arc<InFlight>) {
    let in_flight = Arc::clone(in_flight);
    ACTIVE_REQUESTS.observable_up_down_counter(meter, move |observer| {
        for (method, by_scheme) in METHODS.iter().zip(in_flight.iter()) {
            for (scheme, n) in SCHEMES.iter().zip(by_scheme) {
                let labels = [
                    KeyValue::new(METHOD.key, *method),
                    KeyValue::new(SCHEME.key, *scheme),
                ];
                observer.observe(n.load(Ordering::Relaxed), &labels);
            }
        }
    });
}

/// A request in flight. If it is dropped without [`RequestTimer::finish`] (the client disconnected), no duration is
/// recorded.
#[derive(Debug)]
#[must_use = "the request is in flight until this is dropped"]
pub struct RequestTimer {
    recorder: HttpRecorder,
    labels: RequestLabels,
    started: Duration,
}

impl RequestTimer {
    /// Records the duration and returns it. `route` is the matched pattern, or `None` if none matched.
    #[expect(clippy::must_use_candidate, reason = "it is called for the recording")]
    pub fn finish(self, route: Option<&'static str>, status: u16) -> Duration {
        let Self {
            recorder: HttpRecorder(recorder),
            labels,
            started,
        } = &self;
        let took = recorder
            .metrics
            .0
            .clock
            .monotonic()
            .saturating_sub(*started);
        let series = Series {
            method: labels.method,
            scheme: labels.scheme,
            status,
            route,
        };
        recorder.record(took.as_secs_f64(), series);
        took
    }
}

impl Drop for RequestTimer {
    fn drop(&mut self) {
        let in_flight = &self.recorder.0.metrics.0.in_flight;
        in_flight[self.labels.method][self.labels.scheme].fetch_sub(1, Ordering::Relaxed);
    }
}
