//! `redis_url` and the related settings.

use super::*;

/// A password that would be visible if a fault quoted its URL.
const PLANTED: &str = "Fechter";

fn given(variables: &[(&str, &str)]) -> Result<RedisSettings, Faults> {
    let named = variables
        .iter()
        .map(|(name, value)| (names::variable(name), *value));
    let named: Vec<(String, &str)> = named.collect();
    from_env(named.iter().map(|(name, value)| (name.as_str(), *value)))
        .map(|config| config.redis.unwrap())
}

fn url(text: &str) -> RedisSettings {
    given(&[("redis_url", text)]).unwrap_or_else(|faults| panic!("{text}: {faults}"))
}

fn fault(variables: &[(&str, &str)]) -> String {
    let faults = given(variables).unwrap_err();
    assert_eq!(faults.iter().count(), 1, "{faults}");
    faults.to_string()
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
    assert!(
        from_env([("SKRIPTOTEKET_REDIS_URL", "")])
            .unwrap()
            .redis
            .is_none()
    );
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
fn the_other_settings_have_defaults() {
    let settings = url("redis://cache");
    assert_eq!(settings.key_prefix, "skriptoteket");
    assert_eq!(settings.connect_timeout, SECOND);
    assert!(!settings.allow_eviction && settings.tls_ca.is_none());
    assert!(settings.sentinel_password.is_none());
    let written = Written::file(
        r#"
        redis_url = "rediss+sentinel://one,two/main"
        redis_username = "ada"
        redis_password = "with / and %41"
        redis_sentinel_password = "other"
        redis_tls_ca = "ca.pem"
        redis_key_prefix = "a.b_c-D"
        redis_connect_timeout = "250ms"
        redis_allow_eviction = true
        "#,
    );
    let settings = written.load().unwrap().redis.unwrap();
    assert_eq!(settings.username.as_deref(), Some("ada"));
    assert_eq!(password(&settings), Some("with / and %41"));
    assert!(settings.sentinel_password.is_some());
    assert_eq!(settings.tls_ca, Some(PathBuf::from("ca.pem")));
    assert_eq!(settings.key_prefix, "a.b_c-D");
    assert_eq!(settings.connect_timeout, SECOND / 4);
    assert!(settings.allow_eviction);
}

#[test]
fn a_password_comes_from_a_file_too() {
    let written = Written::file("");
    let path = written.beside("password", "out of a file\n");
    let settings = given(&[
        ("redis_url", "redis://ada@cache"),
        ("redis_password_file", &path),
    ]);
    let settings = settings.unwrap();
    assert_eq!(settings.username.as_deref(), Some("ada"));
    assert_eq!(password(&settings), Some("out of a file"));
    let path = written.beside("url", "redis://:secret@cache/1\n");
    let settings = given(&[("redis_url_file", &path)]).unwrap();
    assert_eq!(
        (said(&settings).as_str(), password(&settings)),
        ("cache:6379 1", Some("secret"))
    );
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
            "expected nothing behind the servers",
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
            "expected a password beside the user name",
        ),
    ] {
        let fault = fault(&[("redis_url", text)]);
        let told = fault.strip_prefix("SKRIPTOTEKET_REDIS_URL: ");
        assert!(
            told.is_some_and(|it| it.starts_with(expected)),
            "{text}: {fault}"
        );
        assert!(
            !fault.contains("Fech") && !fault.contains("ter@"),
            "{fault}"
        );
    }
}

#[test]
fn url_and_settings_may_say_the_same_and_no_two_things() {
    let in_url = ("redis_url", "redis://ada:Fechter@cache");
    let same = given(&[
        in_url,
        ("redis_username", "ada"),
        ("redis_password", PLANTED),
    ]);
    assert_eq!(password(&same.unwrap()), Some(PLANTED));
    assert_eq!(
        fault(&[in_url, ("redis_username", "eve")]),
        "SKRIPTOTEKET_REDIS_USERNAME = \"eve\": expected the user that redis_url names, or none"
    );
    assert_eq!(
        fault(&[in_url, ("redis_password", "Fechterin")]),
        "SKRIPTOTEKET_REDIS_PASSWORD: expected the password that redis_url has, or none in one of the two"
    );
    let user_alone = fault(&[("redis_url", "redis://cache"), ("redis_username", "ada")]);
    assert!(
        user_alone.contains("a password beside the user name"),
        "{user_alone}"
    );
}

#[test]
fn authorities_without_tls_are_a_fault() {
    assert_eq!(
        fault(&[("redis_url", "redis://cache"), ("redis_tls_ca", "ca.pem")]),
        "SKRIPTOTEKET_REDIS_TLS_CA = \"ca.pem\": expected a redis_url with TLS (rediss) beside it"
    );
}

#[test]
fn what_is_in_force_shows_no_password() {
    let environment = env([
        ("SKRIPTOTEKET_REDIS_URL", "redis://ada:Fechter@cache"),
        ("SKRIPTOTEKET_REDIS_SENTINEL_PASSWORD", PLANTED),
    ]);
    let shown = show(None, &environment).unwrap();
    let config = load(None, &environment).unwrap();
    let said = format!("{shown}{config:?}{config:#?}");
    assert!(!said.contains(PLANTED), "{said}");
    let table: toml::Table = shown.parse().unwrap();
    assert_eq!(table["redis_url"].as_str(), Some("(set)"));
    assert_eq!(table["redis_password"].as_str(), Some("(not set)"));
    assert_eq!(table["redis_allow_eviction"].as_bool(), Some(false));
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
        let _ = given_or_none(&format!("{scheme}://{rest}"));
    }
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap()
}

fn given_or_none(url: &str) -> Option<RedisSettings> {
    from_env([("SKRIPTOTEKET_REDIS_URL", url)]).ok()?.redis
}
