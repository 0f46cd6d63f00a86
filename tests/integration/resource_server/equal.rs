//! The example exports the same metrics as the service for the same requests.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use skriptoteket::{clock::SystemClock, telemetry::exposition::Exposition};
use skriptoteket_testing::{http::plain, isolation::passed_in_own_process};

use crate::resource_server::{embedded, issuer::Issuer};

/// The metrics of authentications and tokens, with their names in Prometheus.
const SHARED: [&str; 7] = [
    "skriptoteket_successful_auths_total",
    "skriptoteket_failed_auths_total",
    "skriptoteket_token_verifications_total",
    "skriptoteket_auth_latency_seconds",
    "skriptoteket_rate_limit_exceeded_total",
    "skriptoteket_rate_limit_failures_total",
    "skriptoteket_retired_credential_uses_total",
];

/// A name, and labels ordered by key.
type Series = (String, Vec<(String, String)>);

/// A metrics page: the metadata of each metric, and its samples.
struct Page {
    /// Type and help text by name.
    told: BTreeMap<String, Vec<String>>,
    /// Values by name and labels.
    samples: BTreeMap<Series, f64>,
}

async fn page(url: &str) -> Page {
    let answer = plain().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    let mut told = BTreeMap::<String, Vec<String>>::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# ")) {
        let (kind, rest) = line.split_once(' ').unwrap();
        let (name, said) = rest.split_once(' ').unwrap();
        let said = format!("{kind} {said}");
        told.entry(name.to_owned()).or_default().push(said);
    }
    let samples = Exposition::parse(&text).unwrap().samples.into_iter();
    let samples = samples.map(|it| ((it.name, it.labels.into_iter().collect()), it.value));
    Page {
        told,
        samples: samples.collect(),
    }
}

impl Page {
    /// Returns the samples that the requests of this test change or could change. It leaves out `warehouse` and
    /// `stock`, which are registered and send no requests, so that only the service's page has them; and issued tokens.
    /// Durations are set to 0.
    fn comparable(&self) -> BTreeMap<&Series, f64> {
        let all = self.samples.iter();
        all.filter(|((name, labels), _)| {
            let of = |key: &str| {
                let found = labels.iter().find(|(it, _)| it == key);
                found.map_or("", |(_, value)| value.as_str())
            };
            SHARED.iter().any(|it| name.starts_with(it))
                && !["warehouse", "stock"].contains(&of("service_id"))
                && of("operation") != "token_issue"
        })
        .map(|(series, value)| {
            let timed = ["_sum", "_bucket"].iter().any(|it| series.0.ends_with(it));
            let value = if timed { 0.0 } else { *value };
            (series, value)
        })
        .collect()
    }
}

/// Sends requests with a valid token twice, with a tampered one, without a token, and with something that is not a token.
async fn act(url: &str, token: &str, post: bool) {
    let (signed, _) = token.rsplit_once('.').unwrap();
    let tampered = format!("Bearer {signed}.AAAA");
    let valid = format!("Bearer {token}");
    for (header, expected) in [
        (Some(valid.as_str()), 200),
        (Some(&valid), 200),
        (Some(&tampered), 401),
        (Some("Bearer garbage"), 401),
        (None, 401),
    ] {
        let mut request = if post {
            plain().post(url)
        } else {
            plain().get(url)
        };
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let status = request.send().await.unwrap().status();
        let expected_here = if post && expected == 200 {
            204
        } else {
            expected
        };
        assert_eq!(status, expected_here, "{url}");
    }
}

/// In a process of its own: the server of the example handles the signals of the whole process.
#[actix_web::test]
async fn the_example_exports_what_the_service_exports_for_the_same_acts() {
    let name = "the_example_exports_what_the_service_exports_for_the_same_acts";
    if passed_in_own_process(module_path!(), name) {
        return;
    }
    let issuer = Issuer::start(Arc::new(SystemClock::default())).await;
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let application = embedded::serve(&issuer.url, anywhere, anywhere).unwrap();
    let address = application.address;
    let management = application.management_address;
    let handle = application.server.handle();
    let running = actix_web::rt::spawn(embedded::run(application));

    let token = issuer.token("orders").await;
    act(&format!("http://{address}/hello"), &token, false).await;
    act(
        &format!("{}/api/services/orders/heartbeat", issuer.url),
        &token,
        true,
    )
    .await;

    let example = page(&format!("http://{management}/metrics")).await;
    let service = page(&format!("{}/metrics", issuer.management)).await;
    for name in example
        .told
        .keys()
        .filter(|it| it.starts_with("skriptoteket_"))
    {
        assert_eq!(example.told[name], service.told[name], "{name}");
    }
    for name in &SHARED {
        assert!(example.told.contains_key(*name), "{name}");
    }
    let (ours, its) = (example.comparable(), service.comparable());
    let mut its_auths = its.clone();
    // The service authenticated `orders` once more: for the token request.
    for ((name, _), value) in &mut its_auths {
        if name == "skriptoteket_successful_auths_total" && *value > 0.0 {
            *value -= 1.0;
        }
    }
    assert_eq!(ours, its_auths);
    let total = |name: &str| -> f64 {
        let of = ours.iter().filter(|((it, _), _)| it == name);
        of.map(|(_, value)| value).sum()
    };
    assert!((total("skriptoteket_successful_auths_total") - 2.0).abs() < 0.1);
    assert!((total("skriptoteket_failed_auths_total") - 3.0).abs() < 0.1);
    assert!((total("skriptoteket_token_verifications_total") - 5.0).abs() < 0.1);

    let public = plain().get(format!("http://{address}/metrics"));
    assert_eq!(public.send().await.unwrap().status(), 404);

    handle.stop(true).await;
    running.await.unwrap().unwrap();
    drop(issuer);
}

#[test]
fn the_glue_of_the_example_has_fewer_than_twenty_lines() {
    let source = include_str!("../../../examples/embedded.rs");
    let (_, rest) = source.split_once("// glue: begin\n").unwrap();
    let (glue, _) = rest.split_once("// glue: end").unwrap();
    let lines = glue.lines().filter(|line| !line.trim().is_empty()).count();
    assert!((5..20).contains(&lines), "{lines}");
}
