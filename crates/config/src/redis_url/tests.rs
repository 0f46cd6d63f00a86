//! Redis URLs.

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

fn url(text: &str) -> RedisSettings {
    redis_settings(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

fn addresses(of: &[RedisAddress]) -> String {
    let texts: Vec<String> = of.iter().map(ToString::to_string).collect();
    texts.join(" ")
}

/// Describes the topology in a few words.
fn said(settings: &RedisSettings) -> String {
    let tls = if settings.tls { " tls" } else { "" };
    match &settings.topology {
        RedisTopology::Standalone { server, database } => format!("{server} {database}{tls}"),
        RedisTopology::Sentinel {
            sentinels,
            master,
            database,
        } => format!("{} {master} {database}{tls}", addresses(sentinels)),
        RedisTopology::Cluster { nodes } => format!("{}{tls}", addresses(nodes)),
    }
}

fn password(settings: &RedisSettings) -> Option<&str> {
    settings.password.as_ref().map(ExposeSecret::expose_secret)
}

#[test]
fn a_url_says_where_the_servers_are() {
    for (text, expected) in [
        ("redis://cache", "cache:6379 0"),
        ("redis://cache/", "cache:6379 0"),
        (
            "REDIS://cache.example.org:7000/3",
            "cache.example.org:7000 3",
        ),
        ("rediss://127.0.0.1:6380/0", "127.0.0.1:6380 0 tls"),
        ("redis://[::1]", "[::1]:6379 0"),
        ("redis://:pass@[fd00::1]:1/2", "[fd00::1]:1 2"),
        (
            "redis+sentinel://a,b:7,[::1]:8/my-master",
            "a:26379 b:7 [::1]:8 my-master 0",
        ),
        ("rediss+sentinel://a/m/4", "a:26379 m 4 tls"),
        ("redis+cluster://a:1,b,c:3", "a:1 b:6379 c:3"),
        ("rediss+cluster://user:pass@a/", "a:6379 tls"),
    ] {
        assert_eq!(said(&url(text)), expected, "{text}");
    }
}

#[test]
fn user_and_password_are_percent_decoded() {
    let settings = url("redis://a%64a:p%40%2F%3A%25%C3%BC:b@cache");
    assert_eq!(settings.username.as_deref(), Some("ada"));
    assert_eq!(password(&settings), Some("p@/:%ü:b"));
    let settings = url("redis://:secret@cache");
    assert_eq!(
        (settings.username.as_deref(), password(&settings)),
        (None, Some("secret"))
    );
    let settings = url("redis://@cache");
    assert_eq!(
        (settings.username.as_deref(), password(&settings)),
        (None, None)
    );
}

#[test]
fn what_a_url_does_not_contain_has_the_defaults_of_the_server() {
    let settings = url("redis://cache");
    assert_eq!(settings.key_prefix, DEFAULT_KEY_PREFIX);
    assert_eq!(settings.connect_timeout, Duration::from_secs(1));
    assert!(!settings.allow_eviction && settings.tls_ca.is_none());
    assert!(settings.sentinel_password.is_none());
}

#[test]
fn every_mistake_in_a_url_is_told_without_the_url() {
    for (text, expected) in [
        ("cache:6379", "expected redis://"),
        ("http://cache", "expected redis://"),
        ("redis+tls://cache", "expected redis://"),
        ("redis://", "expected a host"),
        ("redis:///0", "expected a host"),
        ("redis://:Fechter@", "expected a host"),
        ("redis://:Fechter@:6379", "expected a host"),
        ("redis+cluster://a,,b", "expected a host"),
        ("redis://Fech ter", "expected hosts of letters"),
        ("redis://cache:", "expected ports"),
        ("redis://cache:0", "expected ports"),
        ("redis://cache:65536", "expected ports"),
        ("redis://cache:+1", "expected ports"),
        ("redis://cache:Fechter", "expected ports"),
        ("redis://::1", "expected IPv6 addresses in brackets"),
        ("redis://[::1", "expected IPv6 addresses in brackets"),
        ("redis://[cache]:1", "expected IPv6 addresses in brackets"),
        ("redis://[::1]6379", "expected IPv6 addresses in brackets"),
        ("redis://cache/x", "expected a database"),
        ("redis://cache/-1", "expected a database"),
        ("redis://cache/0/", "expected a database"),
        ("redis://cache/4294967296", "expected a database"),
        ("redis://cache?db=1", "expected no query"),
        ("redis://cache/0#Fechter", "expected no query"),
        ("redis://a,b", "expected one server"),
        (
            "redis+cluster://a,b/0",
            "expected nothing after the servers",
        ),
        ("redis+sentinel://a,b", "expected the name"),
        ("redis+sentinel://a,b/", "expected the name"),
        ("redis+sentinel://a,b//0", "expected the name"),
        ("redis+sentinel://a/Fech ter", "expected the name"),
        ("redis+sentinel://a/m/x", "expected a database"),
        ("redis://:Fech@ter@cache", "expected one @"),
        ("redis://:Fech/ter@cache", "expected no / before the @"),
        (
            "redis://:Fechter%@cache",
            "expected a user name and password in UTF-8",
        ),
        (
            "redis://:Fechter%4g@cache",
            "expected a user name and password in UTF-8",
        ),
        (
            "redis://:Fechter%ff@cache",
            "expected a user name and password in UTF-8",
        ),
        (
            "redis://a%20b:Fechter@cache",
            "expected a user name without spaces",
        ),
        (
            "redis://Fechter@cache",
            "expected a password with the user name",
        ),
    ] {
        let fault = redis_settings(text).unwrap_err().to_string();
        assert!(fault.starts_with(expected), "{text}: {fault}");
        assert!(
            !fault.contains("Fech") && !fault.contains("ter@"),
            "{fault}"
        );
    }
}

#[test]
fn a_line_end_after_a_url_is_a_fault() {
    let fault = redis_settings("redis://:Fechter@cache\n").unwrap_err();
    let fault = fault.to_string();
    assert!(
        fault.starts_with("a line end") && !fault.contains("Fechter"),
        "{fault}"
    );
}

proptest! {
    #[test]
    fn any_password_survives_its_url(secret in "\\PC{1,30}", raw in any::<bool>()) {
        let mut written = String::new();
        for byte in secret.bytes() {
            if raw && byte.is_ascii_alphanumeric() {
                written.push(char::from(byte));
            } else {
                written.extend(['%', hex(byte >> 4), hex(byte & 15)]);
            }
        }
        let settings = url(&format!("redis://ada:{written}@cache:1/2"));
        prop_assert_eq!(password(&settings), Some(secret.as_str()));
        prop_assert_eq!(said(&settings), "cache:1 2");
    }

    #[test]
    fn no_url_makes_it_panic(
        scheme in "(redis|rediss|redis\\+sentinel|rediss\\+cluster|[a-z+]{0,8})",
        rest in "[a-z0-9.:@/%?#,\\[\\]ü -]{0,40}",
    ) {
        let _ = redis_settings(&format!("{scheme}://{rest}"));
    }
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap()
}
