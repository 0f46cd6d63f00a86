//! Requests with an access token, with an invalid one, with several, or with none.

use std::{net::TcpListener, time::Duration};

use actix_web::{
    App, HttpServer,
    test::{TestRequest, call_service, init_service},
    web::{self, Data},
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use skriptoteket::http::{BearerError, ServiceIdentity};
use skriptoteket_testing::{
    http::plain,
    jwt::{KeyPair, jwt, part, unsigned},
};

use crate::api::support::{ORIGIN, host, service_keys, spawn_app, with_form};

/// Returns the claims of a token, with those in `changed` replaced.
fn claims_of(token: &str, changed: &Value) -> Value {
    let mut claims = part(token, 1);
    let own = claims.as_object_mut().unwrap();
    own.extend(changed.as_object().unwrap().clone());
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_sound_is_refused_and_counted_as_what_it_is() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let token = orders.token().await;
    let own = service_keys(&app.stores).await.pop().unwrap();
    let thief = KeyPair::new(&own.id, 9);
    let stranger = KeyPair::new("unknown", 9);
    let sound = claims_of(&token, &json!({}));
    let with = |changed: Value| own.jwt("at+jwt", &claims_of(&token, &changed));
    let header = |changed: Value| {
        let mut header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": own.id});
        let fields = header.as_object_mut().unwrap();
        fields.extend(changed.as_object().unwrap().clone());
        header
    };
    let under = |changed: Value| jwt(&header(changed), &sound, |bytes| own.sign(bytes));
    let hs256 = jwt(
        &header(json!({"alg": "HS256"})),
        &sound,
        |bytes: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&own.public()).unwrap();
            mac.update(bytes);
            mac.finalize().into_bytes().to_vec()
        },
    );
    let none = unsigned(&header(json!({"alg": "none"})), &sound);
    let now = 1_767_268_800;
    let cut = &token[..token.len() - 4];
    for (token, status, service) in [
        (format!("{none}."), "bad_signature", "_other"),
        (hs256, "bad_signature", "_other"),
        (under(json!({"alg": "ES256"})), "bad_signature", "_other"),
        (under(json!({"kid": "unknown"})), "bad_signature", "_other"),
        (thief.jwt("at+jwt", &sound), "bad_signature", "_other"),
        (stranger.jwt("at+jwt", &sound), "bad_signature", "_other"),
        (format!("{cut}AAAA"), "bad_signature", "_other"),
        (under(json!({"crit": ["exp"]})), "malformed", "_other"),
        (under(json!({"typ": "JWT"})), "malformed", "_other"),
        ("x.y.z".into(), "malformed", "_other"),
        ("x".into(), "malformed", "_other"),
        ("a".repeat(100 * 1024), "malformed", "_other"),
        (with(json!({"exp": now - 61})), "expired_token", "orders"),
        (with(json!({"nbf": now + 61})), "expired_token", "orders"),
        (with(json!({"iat": now + 61})), "expired_token", "orders"),
        (
            with(json!({"iss": "https://else.example"})),
            "wrong_audience",
            "orders",
        ),
        (
            with(json!({"aud": "https://else.example"})),
            "wrong_audience",
            "orders",
        ),
        (
            with(json!({"sub": "nobody", "client_id": "nobody"})),
            "unknown_service",
            "_other",
        ),
    ] {
        let mut ledger = app.ledger();
        let answer = orders.check(&token).await;
        answer.expect_challenge(401, Some("invalid_token"));
        ledger.expect(&[
            &format!("failed_auths {status} {service}"),
            &format!("token_verifications {service} {status}"),
        ]);
        let asked = orders
            .form("/oauth2/introspect", &[("token", &token)])
            .await;
        if token.len() < 64 * 1024 {
            assert_eq!(asked.expect_status(200).json(), json!({"active": false}));
            ledger.expect(&[
                "successful_auths orders",
                &format!("token_verifications {service} {status}"),
            ]);
        } else {
            asked.expect_error(413, "invalid_request");
            ledger.expect(&["failed_auths malformed _other"]);
        }
    }
    for token in [
        with(json!({"exp": now - 59})),
        with(json!({"nbf": now + 60})),
        token,
    ] {
        orders.check(&token).await.expect_status(200);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_header_with_one_token_or_the_request_is_refused() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let token = orders.token().await;
    let own = format!("Bearer {token}");
    let path = "/api/services/orders/check";
    let moved = [
        "failed_auths malformed _other",
        "token_verifications _other malformed",
    ];
    for (headers, status, error) in [
        (&[][..], 401, None),
        (&["Basic YTpi"], 401, None),
        (&[&own, &own], 400, Some("invalid_request")),
        (&["Bearer"], 400, Some("invalid_request")),
        (&["Bearer a b"], 400, Some("invalid_request")),
        (&["Bearer \u{e9}"], 400, Some("invalid_request")),
    ] {
        let mut ledger = app.ledger();
        let mut request = orders.request(path);
        for value in headers {
            request = request.header("authorization", *value);
        }
        orders.send(request).await.expect_challenge(status, error);
        ledger.expect(&moved);
    }
    // Tokens in a query or a form are ignored.
    let mut ledger = app.ledger();
    let query = orders.request(&format!("{path}?access_token={token}"));
    orders.send(query).await.expect_challenge(401, None);
    ledger.expect(&moved);
    let form = with_form(orders.request(path), &[("access_token", &token)]);
    orders.send(form).await.expect_challenge(401, None);
    ledger.expect(&moved);
    let lower = orders
        .request(path)
        .header("authorization", format!("bearer {token}"));
    orders.send(lower).await.expect_status(200);
    ledger.expect(&[
        "successful_auths orders",
        "token_verifications orders valid",
    ]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_service_and_an_old_token_are_refused_at_once() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let token = orders.token().await;
    orders.check(&token).await.expect_status(200);
    let path = "/api/admin/services/orders";
    boss.patch(path, &json!({"disabled": true}))
        .await
        .expect_status(200);
    let mut ledger = app.ledger();
    orders
        .check(&token)
        .await
        .expect_challenge(401, Some("invalid_token"));
    ledger.expect(&[
        "failed_auths disabled orders",
        "token_verifications orders disabled",
    ]);
    boss.patch(path, &json!({"disabled": false}))
        .await
        .expect_status(200);
    orders.check(&token).await.expect_status(200);
    app.clock.advance(Duration::from_secs(659));
    orders.check(&token).await.expect_status(200);
    app.clock.advance(Duration::from_secs(1));
    ledger.moved();
    orders
        .check(&token)
        .await
        .expect_challenge(401, Some("invalid_token"));
    ledger.expect(&[
        "failed_auths expired_token orders",
        "token_verifications orders expired_token",
    ]);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_changes_is_seen_within_a_second() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let token = orders.token().await;
    orders.check(&token).await.expect_status(200);
    let claims = claims_of(&token, &json!({}));
    let jti = claims["jti"].as_str().unwrap().parse().unwrap();
    let expires_at = skriptoteket::clock::Timestamp::from_millis(1_767_269_400_000);
    app.stores.tokens.revoke(jti, expires_at).await.unwrap();
    app.clock.advance(Duration::from_millis(500));
    orders
        .check(&token)
        .await
        .expect_challenge(401, Some("invalid_token"));
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_checked_is_503_and_never_a_yes() {
    let host = host().await;
    let orders = host.register("orders").await;
    let token = orders.token().await;
    orders.check(&token).await.expect_status(200);
    host.stores.close().await;
    host.clock.advance(Duration::from_millis(500));
    let mut ledger = host.ledger();
    orders
        .check(&token)
        .await
        .expect_problem(503, "about:blank");
    ledger.expect(&[
        "failed_auths store_unavailable _other",
        "token_verifications _other store_unavailable",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_issuer_has_no_tokens_here() {
    let app = spawn_app().await;
    let boss = app.boss().await;
    let orders = app.register(&boss, json!({"id": "orders"})).await;
    let other = KeyPair::new("theirs", 3);
    let claims = claims_of(
        &orders.token().await,
        &json!({"iss": "https://else.example", "aud": ORIGIN}),
    );
    let mut ledger = app.ledger();
    orders
        .check(&other.jwt("at+jwt", &claims))
        .await
        .expect_status(401);
    ledger.expect(&[
        "failed_auths bad_signature _other",
        "token_verifications _other bad_signature",
    ]);
    app.stop().await;
}

/// A page of another application that authenticates access tokens and uses nothing else of ours.
async fn report(identity: ServiceIdentity) -> Result<String, BearerError> {
    identity.require(&"reports:read".parse().unwrap())?;
    Ok(identity.service.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_application_with_an_authenticator_knows_the_service_and_its_scopes() {
    let host = host().await;
    let allowed = host.register_with("allowed", &["reports:read"]).await;
    let other = host.register_with("other", &["reports:write"]).await;
    let bearer = Data::new(host.api.bearer.clone());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/report", listener.local_addr().unwrap());
    let server = HttpServer::new(move || {
        let page = web::resource("/report").to(report);
        App::new().app_data(bearer.clone()).service(page)
    });
    let server = server.workers(1).disable_signals().listen(listener);
    let server = server.unwrap().run();
    let handle = server.handle();
    tokio::spawn(server);
    let get = async |token: Option<String>| {
        let request = plain().get(&url);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await.unwrap()
    };
    let answer = get(Some(allowed.token().await)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), "allowed");
    let challenge = |answer: &reqwest::Response| {
        let challenge = &answer.headers()["www-authenticate"];
        challenge.to_str().unwrap().to_owned()
    };
    let refused = get(Some(other.token().await)).await;
    assert_eq!(refused.status(), 403);
    let said = challenge(&refused);
    assert!(said.contains(r#"error="insufficient_scope""#), "{said}");
    assert!(said.ends_with(r#", scope="reports:read""#), "{said}");
    let unknown = get(None).await;
    assert_eq!(unknown.status(), 401);
    assert_eq!(challenge(&unknown), r#"Bearer realm="skriptoteket""#);
    assert_eq!(
        unknown.headers()["content-type"],
        "application/problem+json"
    );
    let mut ledger = host.ledger();
    assert_eq!(get(Some("x.y.z".into())).await.status(), 401);
    ledger.expect(&[
        "failed_auths malformed _other",
        "token_verifications _other malformed",
    ]);
    handle.stop(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_without_an_authenticator_fails_and_accepts_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/report", listener.local_addr().unwrap());
    let server = HttpServer::new(|| App::new().service(web::resource("/report").to(report)));
    let server = server.workers(1).disable_signals().listen(listener);
    let server = server.unwrap().run();
    let handle = server.handle();
    tokio::spawn(server);
    let answer = plain().get(&url).bearer_auth("x").send().await.unwrap();
    assert_eq!(answer.status(), 500);
    handle.stop(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_identity_is_taken_twice_is_counted_once() {
    let host = host().await;
    let token = host.register("orders").await.token().await;
    let bearer = Data::new(host.api.bearer.clone());
    let twice = async |_: ServiceIdentity, it: Option<ServiceIdentity>| it.map_or("lost", |_| "ok");
    let app = App::new().app_data(bearer).route("/", web::get().to(twice));
    let app = init_service(app).await;
    for (value, status, series) in [
        (
            format!("Bearer {token}"),
            200,
            [
                "successful_auths orders",
                "token_verifications orders valid",
            ],
        ),
        (
            "Bearer".into(),
            400,
            [
                "failed_auths malformed _other",
                "token_verifications _other malformed",
            ],
        ),
    ] {
        let mut ledger = host.ledger();
        let request = TestRequest::get().insert_header(("authorization", value));
        let answer = call_service(&app, request.to_request()).await;
        assert_eq!(answer.status(), status);
        ledger.expect(&series);
    }
}
