//! `redis_url` and the related settings.

use skriptoteket_config::redis_settings;

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
fn an_empty_url_is_none() {
    let config = from_env([("SKRIPTOTEKET_REDIS_URL", "")]).unwrap();
    assert!(config.redis.is_none());
}

#[test]
fn other_applications_read_a_url_as_the_server_does() {
    for text in [
        "redis://ada:secret@cache:7000/3",
        "rediss+sentinel://a,b/main",
        "redis+cluster://a:1,b",
    ] {
        let read = redis_settings(text).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", url(text)), "{text}");
    }
    for text in [
        "cache:6379",
        "redis://cache:Fechter",
        "redis://:Fech@ter@cache",
        "redis://ada:Fechter@cache\n",
    ] {
        let problem = redis_settings(text).unwrap_err();
        let fault = fault(&[("redis_url", text)]);
        assert_eq!(fault, format!("SKRIPTOTEKET_REDIS_URL: {problem}"));
        assert!(!fault.contains("Fech"), "{fault}");
    }
    assert_eq!(
        fault(&[("redis_url", "redis://Fechter@cache")]),
        "SKRIPTOTEKET_REDIS_URL: expected a password with the user name: USER:PASSWORD@ here, or redis_password"
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
        "SKRIPTOTEKET_REDIS_PASSWORD: expected the password in redis_url, or a password in only one of the two"
    );
    let user_alone = fault(&[("redis_url", "redis://cache"), ("redis_username", "ada")]);
    assert!(
        user_alone.contains("a password with the user name"),
        "{user_alone}"
    );
}

#[test]
fn authorities_without_tls_are_a_fault() {
    assert_eq!(
        fault(&[("redis_url", "redis://cache"), ("redis_tls_ca", "ca.pem")]),
        "SKRIPTOTEKET_REDIS_TLS_CA = \"ca.pem\": expected a redis_url with TLS (rediss)"
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
