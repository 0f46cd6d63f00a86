//! The `OTEL_…` variables.

mod tls;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Returns the settings and the warnings of an environment.
fn from_env<'a>(
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(OtelSettings, Vec<String>), Faults> {
    let add = |environment: Environment, (name, value)| environment.with(name, value);
    otel_settings(&variables.into_iter().fold(Environment::default(), add))
}

fn otel<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> OtelSettings {
    from_env(variables).unwrap().0
}

fn target(target: Option<&OtlpTarget>) -> String {
    target.map_or_else(String::new, ToString::to_string)
}

#[test]
fn nothing_given_exports_nothing_and_shows_the_page() {
    let settings = otel([]);
    assert!(!settings.disabled && settings.prometheus);
    assert_eq!(
        (settings.metrics, settings.traces, settings.logs),
        (None, None, None)
    );
    assert_eq!(settings.metric_export_interval, 15 * SECOND);
}

#[test]
fn an_endpoint_exports_all_signals_each_under_its_path() {
    for base in ["http://collector:4318", "http://collector:4318/"] {
        let settings = otel([("OTEL_EXPORTER_OTLP_ENDPOINT", base)]);
        let metrics = target(settings.metrics.as_ref());
        assert_eq!(metrics, "http/protobuf to http://collector:4318/v1/metrics");
        let traces = target(settings.traces.as_ref());
        assert_eq!(traces, "http/protobuf to http://collector:4318/v1/traces");
        let logs = target(settings.logs.as_ref());
        assert_eq!(logs, "http/protobuf to http://collector:4318/v1/logs");
        assert!(settings.prometheus);
    }
    let below = otel([("OTEL_EXPORTER_OTLP_ENDPOINT", "https://example.org/otlp/")]);
    let below = target(below.metrics.as_ref());
    assert_eq!(
        below,
        "http/protobuf to https://example.org/otlp/v1/metrics"
    );
}

#[test]
fn grpc_calls_the_endpoint_as_it_is() {
    let settings = otel([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ]);
    let metrics = settings.metrics.unwrap();
    assert_eq!(metrics.protocol, OtlpProtocol::Grpc);
    assert_eq!(metrics.endpoint.as_str(), "http://collector:4317/");
}

#[test]
fn a_signals_own_variables_win() {
    let settings = otel([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://traces:4317/as/it/is",
        ),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_LOGS_EXPORTER", "none"),
    ]);
    let metrics = target(settings.metrics.as_ref());
    assert_eq!(metrics, "http/protobuf to http://collector:4318/v1/metrics");
    assert_eq!(
        target(settings.traces.as_ref()),
        "grpc to http://traces:4317/as/it/is"
    );
    assert_eq!(settings.logs, None);
    let only = otel([(
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "http://metrics:4318/push",
    )]);
    let metrics = target(only.metrics.as_ref());
    assert_eq!(metrics, "http/protobuf to http://metrics:4318/push");
    assert_eq!((only.traces, only.logs), (None, None));
}

#[test]
fn an_exporter_that_is_named_has_a_default_endpoint() {
    let settings = otel([
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
    ]);
    let metrics = target(settings.metrics.as_ref());
    assert_eq!(metrics, "http/protobuf to http://localhost:4318/v1/metrics");
    assert!(settings.traces.is_some() && settings.logs.is_none());
    let grpc = otel([
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
    ]);
    assert_eq!(target(grpc.logs.as_ref()), "grpc to http://localhost:4317/");
}

#[test]
fn the_page_goes_only_with_none_or_with_the_sdk() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    let metrics = |exporter: &'static str| {
        let settings = otel([endpoint, ("OTEL_METRICS_EXPORTER", exporter)]);
        (settings.metrics.is_some(), settings.prometheus)
    };
    assert_eq!(metrics("otlp"), (true, true));
    assert_eq!(metrics("prometheus"), (false, true));
    assert_eq!(metrics("otlp, prometheus"), (true, true));
    assert_eq!(metrics("none"), (false, false));
    assert_eq!(metrics(""), (true, true));
    for yes in ["true", "TRUE", "True"] {
        let settings = otel([endpoint, ("OTEL_SDK_DISABLED", yes)]);
        assert!(settings.disabled && !settings.prometheus);
        assert_eq!(
            (settings.metrics, settings.traces, settings.logs),
            (None, None, None)
        );
    }
    assert!(!otel([("OTEL_SDK_DISABLED", "False")]).disabled);
}

#[test]
fn the_interval_is_in_milliseconds() {
    let interval = |text| otel([("OTEL_METRIC_EXPORT_INTERVAL", text)]).metric_export_interval;
    assert_eq!(interval("1500"), Duration::from_millis(1_500));
    assert_eq!(interval(""), 15 * SECOND);
    assert_eq!(otel([]).metric_export_interval, 15 * SECOND);
}

#[test]
fn the_resource_is_decoded_and_its_name_is_that_of_the_service() {
    let resource = |attributes, name| {
        otel([
            ("OTEL_RESOURCE_ATTRIBUTES", attributes),
            ("OTEL_SERVICE_NAME", name),
        ])
        .resource
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        resource(
            " team = a%2Cb%3Dc%25 ,city=Malm%C3%B6,empty=,b64=eQ==,plus=a+b,",
            ""
        ),
        [
            pair("team", "a,b=c%"),
            pair("city", "Malmö"),
            pair("empty", ""),
            pair("b64", "eQ=="),
            pair("plus", "a+b")
        ]
    );
    let both = resource("service.name=platform-default,team=a", "front-door");
    assert_eq!(both.last(), Some(&pair("service.name", "front-door")));
    assert_eq!(resource("", ""), []);
    let alone = resource("service.name=platform-default", " ");
    assert_eq!(alone, [pair("service.name", "platform-default")]);
}

#[test]
fn a_share_of_requests_is_traced_and_callers_decide() {
    let sampler =
        |variables: &[(&'static str, &'static str)]| otel(variables.iter().copied()).sampler;
    let name = |name| ("OTEL_TRACES_SAMPLER", name);
    let share = |share| ("OTEL_TRACES_SAMPLER_ARG", share);
    let is = |parent_based, others| TraceSampler {
        parent_based,
        others,
    };
    let ratio = SampledShare::from_ratio;
    assert_eq!(sampler(&[]), is(true, ratio(0.01)));
    assert_eq!(sampler(&[]), TraceSampler::default());
    assert_eq!(sampler(&[share("0.2")]), is(true, ratio(0.2)));
    assert_eq!(sampler(&[name("always_on")]), is(false, SampledShare::ALL));
    assert_eq!(
        sampler(&[name("always_off")]),
        is(false, SampledShare::Nothing)
    );
    assert_eq!(
        sampler(&[name("traceidratio"), share("0.5")]),
        is(false, ratio(0.5))
    );
    assert_eq!(
        sampler(&[name("parentbased_traceidratio")]),
        is(true, SampledShare::ALL)
    );
    assert_eq!(
        sampler(&[name("parentbased_always_on")]),
        is(true, SampledShare::ALL)
    );
    assert_eq!(
        sampler(&[name("parentbased_always_off")]),
        is(true, SampledShare::Nothing)
    );
    assert_eq!(ratio(1.0), SampledShare::ALL);
    assert!(!ratio(0.0).takes(0) && ratio(1.0).takes(u64::MAX));
    assert!(ratio(0.5).takes(u64::MAX / 2 - 1) && !ratio(0.5).takes(u64::MAX));
}

#[test]
fn timeouts_are_of_all_signals_or_of_one() {
    let settings = otel([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "700"),
    ]);
    let timeout = |target: Option<OtlpTarget>| target.unwrap().timeout.as_millis();
    assert_eq!(
        (timeout(settings.traces), timeout(settings.logs)),
        (2_500, 700)
    );
    let other = otel([("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")]);
    assert_eq!(timeout(other.metrics), 10_000);
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let warning = |variables: &[(&str, &str)]| {
        let (_, warnings) = from_env(variables.iter().copied()).unwrap();
        assert!(warnings.len() <= 1, "{warnings:?}");
        warnings.first().cloned().unwrap_or_default()
    };
    let endpoint = |url| ("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    for fine in [
        &[][..],
        &[endpoint("http://collector:4318")],
        &[endpoint("http://collector:4317"), grpc],
        &[
            endpoint("https://collector.example"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b,x-y=z=="),
        ],
        &[
            endpoint("http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
        ],
        &[("OTEL_TRACES_SAMPLER_ARG", "")],
    ] {
        assert_eq!(warning(fine), "", "{fine:?}");
    }
    for (variables, expected) in [
        (
            &[endpoint("http://collector:4317")][..],
            "OTEL_EXPORTER_OTLP_ENDPOINT: port 4317 is that of gRPC",
        ),
        (
            &[endpoint("http://collector:4318"), grpc],
            "OTEL_EXPORTER_OTLP_ENDPOINT: port 4318 is that of HTTP",
        ),
        (
            &[endpoint("http://collector:4318/v1/traces")],
            "leave /v1/… out",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_INSECURE", "true")],
            "OTEL_EXPORTER_OTLP_INSECURE: has no effect",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENPOINT", "http://collector:4318")],
            "did you mean OTEL_EXPORTER_OTLP_ENDPOINT?",
        ),
        (
            &[("OTEL_PYTHON_LOG_CORRELATION", "true")],
            "OTEL_PYTHON_LOG_CORRELATION: has no effect",
        ),
        (&[("OTEL_PROPAGATORS", "b3")], "W3C trace context is read"),
        (
            &[
                ("OTEL_TRACES_SAMPLER", "always_on"),
                ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
            ],
            "takes no argument",
        ),
        (
            &[
                ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
                ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"),
            ],
            "is limited to 100",
        ),
    ] {
        assert!(
            warning(variables).contains(expected),
            "{variables:?}: {:?}",
            warning(variables)
        );
    }
}

/// Every variable that is read is also checked.
#[test]
fn junk_in_any_variable_is_a_fault_and_headers_are_not_told() {
    for variable in OTEL_VARIABLES {
        for name in variable.names() {
            let junk = "hidden\u{1}junk=%zz";
            let faults = from_env([(name.as_str(), junk)]).unwrap_err().to_string();
            assert!(faults.starts_with(&name), "{faults}");
            assert_eq!(faults.lines().count(), 1, "{faults}");
            assert_eq!(
                faults.contains("hidden"),
                !name.contains("HEADERS"),
                "{faults}"
            );
            assert!(from_env([(name.as_str(), "")]).is_ok(), "{name}");
            assert_eq!(
                from_env([(name.as_str(), "")]).unwrap().1,
                [""; 0],
                "{name}"
            );
        }
    }
    for (without_effect, _) in OTEL_WITHOUT_EFFECT {
        let (_, warnings) = from_env([(*without_effect, "junk")]).unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}

#[test]
fn headers_that_cannot_be_sent_are_faults() {
    for headers in [
        "bad header=x",
        "no-value",
        "=x",
        "a=b,,c=d",
        "a=b%0Ac",
        "a=%F6",
        "a=ö",
        "a=",
        "a(b)=c",
    ] {
        for name in [
            "OTEL_EXPORTER_OTLP_HEADERS",
            "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
        ] {
            let faults = from_env([(name, headers)]).unwrap_err().to_string();
            assert!(
                faults.starts_with(&format!("{name}: expected name=value")),
                "{faults}"
            );
        }
    }
}

#[test]
fn junk_is_a_fault() {
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "1"),
        ("OTEL_METRICS_EXPORTER", "console"),
        ("OTEL_METRICS_EXPORTER", "none,otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp,"),
        ("OTEL_TRACES_EXPORTER", "prometheus"),
        ("OTEL_LOGS_EXPORTER", "OTLP"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "unix:/socket"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "deflate"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "junk"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "yes"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER", "0.1"),
        ("OTEL_TRACES_SAMPLER_ARG", "10%"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "NaN"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,=c"),
        ("OTEL_RESOURCE_ATTRIBUTES", "load=100%"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%F6"),
    ] {
        let faults = from_env([(name, value)]).unwrap_err().to_string();
        assert!(
            faults.starts_with(&format!("{name} = \"{value}\": expected ")),
            "{faults}"
        );
        assert_eq!(faults.lines().count(), 1, "{faults}");
    }
}
