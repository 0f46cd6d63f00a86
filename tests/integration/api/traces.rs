//! Contents of spans and log events about requests: closed sets of values, and nothing that a client sent.

use std::{
    collections::BTreeMap,
    fmt::{Debug, Write},
    sync::{Mutex, OnceLock},
};

use skriptoteket_testing::isolation::passed_in_own_process;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

use crate::api::support::host;

type Fields = BTreeMap<&'static str, String>;

/// All spans and events of this process.
#[derive(Default)]
struct Told {
    closed: Mutex<Vec<Fields>>,
    all: Mutex<String>,
}

static TOLD: OnceLock<Told> = OnceLock::new();

struct Listener;

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        writeln!(TOLD.get().unwrap().all.lock().unwrap(), "{text}").unwrap();
        self.0.insert(field.name(), text);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        let span = context.span(id).unwrap();
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        let mut extensions = span.extensions_mut();
        values.record(&mut Reader(extensions.get_mut().unwrap()));
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut Reader(&mut Fields::new()));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        if span.name() == "http request" {
            let fields = span.extensions().get::<Fields>().unwrap().clone();
            TOLD.get().unwrap().closed.lock().unwrap().push(fields);
        }
    }
}

/// In a process of its own: the subscriber of the whole process also gets what server threads record.
#[tokio::test(flavor = "multi_thread")]
async fn a_span_tells_method_pattern_and_status_and_nothing_of_the_client() {
    let name = "a_span_tells_method_pattern_and_status_and_nothing_of_the_client";
    if passed_in_own_process(module_path!(), name) {
        return;
    }
    TOLD.set(Told::default()).ok().unwrap();
    let ours = tracing_subscriber::filter::Targets::new().with_target("skriptoteket", Level::TRACE);
    let listener = tracing_subscriber::registry().with(Listener.with_filter(ours));
    tracing::subscriber::set_global_default(listener).unwrap();

    let host = host().await;
    let browser = host.ada().await;
    let cookie = browser.cookie().unwrap();
    let request = browser.request("MARKMETHOD", "/teapot/markpath?mark=markquery");
    let request = request
        .header("user-agent", "markagent")
        .header("x-forwarded-for", "198.51.100.77");
    browser
        .send(request.bearer_auth("marktoken"))
        .await
        .expect_status(404);
    browser
        .delete("/api/sessions/markid")
        .await
        .expect_status(404);
    browser
        .try_password("markuser", "markpassword")
        .await
        .expect_status(401);
    browser.get("/panic").await.expect_status(500);
    host.stores.close().await;
    browser.get("/api/session").await.expect_status(503);

    let told = TOLD.get().unwrap();
    let all = told.all.lock().unwrap();
    for secret in [
        "mark",
        "MARK",
        "198.51.100.77",
        "s3cret",
        cookie.as_str(),
        "ada",
    ] {
        assert!(!all.contains(secret), "{secret} was recorded");
    }
    let closed = told.closed.lock().unwrap();
    let has = |expected: &[(&str, &str)]| {
        let fits = |span: &&Fields| {
            expected
                .iter()
                .all(|(k, v)| span.get(k).is_some_and(|it| it == v))
        };
        closed.iter().find(fits).cloned()
    };
    let nowhere = has(&[
        ("http.request.method", "_OTHER"),
        ("http.response.status_code", "404"),
    ]);
    let nowhere = nowhere.unwrap();
    assert_eq!(nowhere.get("http.route"), None);
    let not_found = has(&[
        ("http.route", "/api/sessions/{id}"),
        ("http.response.status_code", "404"),
    ]);
    let not_found = not_found.unwrap();
    assert_eq!(not_found["otel.kind"], "server");
    assert_eq!(not_found.get("otel.status_code"), None);
    let panicked = has(&[
        ("http.route", "/panic"),
        ("http.response.status_code", "500"),
    ]);
    assert_eq!(panicked.unwrap()["otel.status_code"], "ERROR");
}
