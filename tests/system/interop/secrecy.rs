//! The credentials of a service never appear in a log, a metric or a span.

use serde_json::json;
use skriptoteket::telemetry::OtlpProtocol;
use skriptoteket_testing::{
    collector::Collector,
    http::plain,
    jwt::part,
    operator::{Operator, OwnKey, access_token, assert_to, post_form},
    service::Service,
    wait::eventually,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_metrics_and_spans_hold_no_secret_token_or_assertion() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start();
    let endpoint = collector.endpoint(OtlpProtocol::HttpProtobuf);
    let settings = [
        ("log", "trace"),
        ("log_format", "json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_METRICS_EXPORTER", "otlp,prometheus"),
        // Every request is recorded as a span.
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    let mut server = Service::start(dir.path(), &settings).await;
    let http = plain();
    let operator = Operator::of(&server).await;
    let keys = OwnKey::generate(rand::random());
    let mut caller = operator
        .register("orders", json!({"public_keys": keys.public()}))
        .await;

    // Every use of a secret, and every error with it.
    let mut secrets = vec![caller.secret.clone()];
    let token = caller.token(&http, &server).await;
    caller.secret = operator.rotate("orders", Some(3_600)).await;
    secrets.push(caller.secret.clone());
    let assertion = keys.assertion("orders", &server.url(""), "a-jti-of-the-client");
    let answer = assert_to(&http, &server, &assertion).await;
    assert_eq!(answer.status(), 200);
    let asserted = access_token(answer).await;
    let answer = assert_to(&http, &server, &assertion).await;
    assert_eq!(answer.status(), 401, "an assertion for the second time");
    let said = caller.introspect(&http, &server, &token).await;
    assert_eq!(said["active"], true);
    for (what, status) in [("check", 200), ("heartbeat", 204), ("hidden-path", 404)] {
        let answer = caller.own(&http, &server, what, &token).send().await;
        assert_eq!(answer.unwrap().status(), status, "{what}");
    }
    caller.revoke(&http, &server, &token).await;
    let answer = caller.own(&http, &server, "check", &token).send().await;
    assert_eq!(answer.unwrap().status(), 401);
    // Sent in places where they do not belong.
    let url = format!(
        "/oauth2/token?client_secret={}&token={asserted}",
        caller.secret
    );
    let answer = post_form(&http, &server.url(&url), &[("a", "b")])
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 400);
    let url = server.url(&format!("/api/{asserted}/{}", caller.secret));
    assert_eq!(http.get(url).send().await.unwrap().status(), 404);
    let url = server.url(&format!("/api/services/{}/check", caller.secret));
    let answer = http.post(url).bearer_auth(&asserted).send().await;
    assert_eq!(answer.unwrap().status(), 403);
    // As the id of a service, and with a wrong secret.
    let mut muddled = caller.clone();
    muddled.id.clone_from(&caller.secret);
    muddled.secret = "sks_a-guess-of-somebody".into();
    let answer = muddled.token_request(&http, &server).send().await;
    assert_eq!(answer.unwrap().status(), 401);
    muddled.id = "orders".into();
    let answer = muddled.token_request(&http, &server).send().await;
    assert_eq!(answer.unwrap().status(), 401);
    let wrong = caller.introspect(&http, &server, &asserted[..asserted.len() - 4]);
    assert_eq!(wrong.await["active"], false);

    secrets.extend(["a-jti-of-the-client", "hidden-path", "sks_a-guess"].map(str::to_owned));
    for jwt in [&token, &asserted, &assertion] {
        // Its claims and its signature, in whole and in part.
        secrets.extend(jwt.split('.').skip(1).map(|it| it[..24].to_owned()));
        secrets.extend(part(jwt, 1)["jti"].as_str().map(str::to_owned));
    }
    let url = server.management("/metrics");
    let metrics = http.get(url).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    server.signal("TERM");
    assert!(server.wait().await.success());
    let logs = server.output();
    let exported = eventually("the last record arrives", || {
        let output = collector.output();
        output.contains("the service has stopped").then_some(output)
    });
    for (place, text, marker) in [
        (
            "the metrics",
            &metrics,
            "skriptoteket_successful_auths_total",
        ),
        ("the logs", &logs, "the service has stopped"),
        ("what is exported", &exported, "POST /oauth2/token"),
    ] {
        assert!(text.contains(marker), "{place} do not mention the service");
        for secret in &secrets {
            let at = text.find(secret.as_str());
            let before = at.map(|at| text[..at].chars().rev().take(120).collect::<String>());
            let before = before.map(|it| it.chars().rev().collect::<String>());
            assert_eq!(before, None, "{place} show {}…", &secret[..8]);
        }
    }
}
