//! Applications that cannot start, and the errors that they get.

use std::{error::Error, fs, time::Duration};

use skriptoteket::{BuildError, Builder, Skriptoteket};
use skriptoteket_testing::redis::RedisServer;

use crate::embedding::application::{Users, builder};

/// Returns the error and its causes.
async fn refused(builder: Builder) -> String {
    let error: BuildError = builder.start().await.unwrap_err();
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.join(": ")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    let redis = RedisServer::start(&[]);
    let start = Skriptoteket::builder;
    for (builder, missing) in [
        (start(), "public_url"),
        (start().public_url("http://127.0.0.1"), "redis"),
        (
            start().public_url("http://127.0.0.1").redis(redis.url()),
            "accounts",
        ),
        (
            start()
                .public_url("http://127.0.0.1")
                .redis(redis.url())
                .accounts(Users::default()),
            "cookie_key_file",
        ),
    ] {
        let error = refused(builder).await;
        assert_eq!(
            error,
            format!("{missing} was not given: call Builder::{missing} before start")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_values_are_told_and_secrets_are_not() {
    let redis = RedisServer::start(&[]);
    let good = || builder(&redis, &Users::default());
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short.key");
    fs::write(&short, "s3cret").unwrap();
    for (builder, expected) in [
        (
            good().public_url("app.example.org"),
            "public_url: expected https://",
        ),
        (
            good().public_url("http://app.example.org"),
            "public_url: expected https://",
        ),
        (
            good().trusted_proxies(["proxy"]),
            "trusted_proxies: expected",
        ),
        (good().redis("http://:s3cret@127.0.0.1"), "redis: "),
        (good().redis("redis://:s3cret@127.0.0.1:port"), "redis: "),
        (good().redis_key_prefix("a}b"), "redis_key_prefix: expected"),
        (good().redis_key_prefix(""), "redis_key_prefix: expected"),
        (good().cookie_name("a b"), "cookie_name: expected"),
        (good().cookie_name(""), "cookie_name: expected"),
        (
            good().census_interval(Duration::ZERO),
            "census_interval: expected",
        ),
        (
            good().census_interval(Duration::MAX),
            "census_interval: expected",
        ),
        (
            good().store_timeout(Duration::ZERO),
            "store_timeout: expected",
        ),
        (good().cookie_key("s3cret".into()), "cookie_key: expected"),
        (good().cookie_key_file(&short), "shorter than 32 bytes"),
        (
            good().cookie_key_file(dir.path().join("no/such/key")),
            "cannot be created",
        ),
        (
            good().redis(redis.url().replace("redis://", "redis://:s3cret@")),
            "has no password for its default user",
        ),
    ] {
        let error = refused(builder).await;
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("s3cret"), "a secret is in an error");
    }
}
