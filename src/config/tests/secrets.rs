//! Secrets: where they are read from, and that they are never shown.

use super::*;

/// Planted wherever a secret can be.
const PLANTED: &str = "Zwölf-Fechter-jagen-Viktor-quer";

const SECRETS: [&str; 7] = [
    "cookie_key",
    "metrics_token",
    "database_url",
    "redis_url",
    "redis_password",
    "redis_sentinel_password",
    "bootstrap_password",
];

fn cookie_key(config: &Config) -> &str {
    config.cookie_key.as_ref().unwrap().expose_secret()
}

#[test]
fn a_secret_is_read_from_a_file_less_its_line_end() {
    for ending in ["", "\n", "\r\n"] {
        let written = Written::file("");
        let path = written.beside("key", &format!("{PLANTED}{ending}"));
        let by_variable = from_env([("SKRIPTOTEKET_COOKIE_KEY_FILE", path.as_str())]).unwrap();
        assert_eq!(cookie_key(&by_variable), PLANTED);
        let by_key = Written::file(&format!("cookie_key_file = {}", toml::Value::from(path)));
        assert_eq!(cookie_key(&by_key.load().unwrap()), PLANTED);
    }
}

#[test]
fn a_secret_given_twice_is_a_fault_and_the_environment_still_wins_over_the_file() {
    let written = Written::file("");
    let path = written.beside("key", PLANTED);
    let faults = from_env([
        ("SKRIPTOTEKET_COOKIE_KEY", PLANTED),
        ("SKRIPTOTEKET_COOKIE_KEY_FILE", &path),
    ]);
    assert_eq!(
        faults.unwrap_err().to_string(),
        "SKRIPTOTEKET_COOKIE_KEY: SKRIPTOTEKET_COOKIE_KEY_FILE is also set: keep one of the two"
    );
    let twice = Written::file(&format!(
        "cookie_key = \"{PLANTED}\"\ncookie_key_file = \"{path}\""
    ));
    assert!(twice.load().is_err());
    let environment = env([("SKRIPTOTEKET_COOKIE_KEY_FILE", path.as_str())]);
    let file = Written::file("cookie_key = \"another key of more than 32 bytes\"");
    let config = load(Some(&file.path()), &environment).unwrap();
    assert_eq!(cookie_key(&config), PLANTED);
}

#[test]
fn a_secret_file_that_is_missing_empty_or_endless_is_a_fault() {
    let written = Written::file("");
    let directory = written.directory.path().to_str().unwrap().to_owned();
    let empty = written.beside("empty", "\n");
    for path in [
        "/nonexistent/key",
        "",
        directory.as_str(),
        empty.as_str(),
        "/dev/zero",
    ] {
        let faults = from_env([("SKRIPTOTEKET_COOKIE_KEY_FILE", path)]).unwrap_err();
        let line = faults.to_string();
        let start = "SKRIPTOTEKET_COOKIE_KEY_FILE: the file cannot be read: ";
        assert!(line.starts_with(start), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
}

#[test]
fn a_short_key_is_a_fault_that_tells_its_length_only() {
    let line = from_env([("SKRIPTOTEKET_COOKIE_KEY", "too-short")])
        .unwrap_err()
        .to_string();
    assert_eq!(
        line,
        "SKRIPTOTEKET_COOKIE_KEY: expected a random text of at least 32 bytes, for example from `openssl rand -base64 48`, not 9 bytes"
    );
}

#[test]
fn a_token_that_no_header_can_carry_is_a_fault() {
    for token in ["", "two words", "Schlüssel", "line\nend"] {
        let faults = from_env([("SKRIPTOTEKET_METRICS_TOKEN", token)]).unwrap_err();
        assert!(
            faults
                .to_string()
                .starts_with("SKRIPTOTEKET_METRICS_TOKEN: expected ")
        );
    }
    let config = from_env([("SKRIPTOTEKET_METRICS_TOKEN", "a.b-c_d~e+f/g=")]).unwrap();
    assert!(config.metrics_token.is_some());
}

/// Collects everything that a configuration prints about itself.
fn everything_said(written: &Written, environment: &Environment) -> String {
    let path = written.path();
    let loaded = load(Some(&path), environment);
    let shown = show(Some(&path), environment);
    let texts = match &loaded {
        Ok(config) => format!("{config:?} {config:#?}"),
        Err(faults) => format!("{faults} {faults:?} {faults:#?}"),
    };
    format!("{texts} {shown:?} {environment:?}")
}

#[test]
fn a_secret_is_seen_nowhere_when_it_is_right() {
    let long = format!("{PLANTED}-{PLANTED}");
    let environment = env([
        ("SKRIPTOTEKET_COOKIE_KEY", long.as_str()),
        ("SKRIPTOTEKET_METRICS_TOKEN", "Fechter-token"),
        ("SKRIPTOTEKET_BOOTSTRAP_PASSWORD", PLANTED),
    ]);
    let said = everything_said(&Written::file(""), &environment);
    assert!(said.contains("(set)"), "{said}");
    assert!(!said.contains("Fecht"), "{said}");
}

#[test]
fn a_secret_is_seen_nowhere_when_something_is_wrong_with_it() {
    for secret in SECRETS {
        // Valid, next to a fault; of a wrong type; under a wrong name; in a file that is not TOML; given twice.
        let variable = names::variable(secret);
        let environment = env([(variable.as_str(), PLANTED), ("SKRIPTOTEKET_WORKERS", "0")]);
        let mut said = everything_said(&Written::file(""), &environment);
        let misspelt = env([(format!("{variable}S").as_str(), PLANTED)]);
        said += &everything_said(&Written::file(""), &misspelt);
        let as_path = env([(format!("{variable}_FILE").as_str(), PLANTED)]);
        said += &everything_said(&Written::file(""), &as_path);
        for text in [
            format!("{secret} = [\"{PLANTED}\"]"),
            format!("{secret} = {{ key = \"{PLANTED}\" }}"),
            format!("{secret}s = \"{PLANTED}\""),
            format!("{secret} = \"{PLANTED}"),
            format!("{secret} = {PLANTED}"),
            format!("{secret} = '{PLANTED}' '{PLANTED}'"),
            format!("{secret} = \"{PLANTED}\"\n{secret} = \"{PLANTED}\""),
            format!("{secret} = \"{PLANTED}\\q\""),
            format!("{secret} = \"{PLANTED}\"\n{secret}_file = \"/dev/null\""),
        ] {
            said += &everything_said(&Written::file(&text), &Environment::default());
        }
        assert!(!said.contains("Fecht"), "{said}");
        let number = format!("{secret} = 314159265358979323846264338327950288");
        let said = everything_said(&Written::file(&number), &Environment::default());
        assert!(!said.contains("1415926"), "{said}");
        let number = format!("{secret} = 31415926535");
        let said = everything_said(&Written::file(&number), &Environment::default());
        assert!(!said.contains("1415926"), "{said}");
    }
}

#[test]
fn a_password_in_a_url_is_not_shown() {
    let environment = env([
        ("SKRIPTOTEKET_PUBLIC_URL", "https://ada:Fechter@example.org"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://ada:Fechter@example.org",
        ),
        (
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
            "no url://ada:Fechter@example.org",
        ),
    ]);
    let said = everything_said(&Written::file(""), &environment);
    assert_eq!(load(None, &environment).unwrap_err().iter().count(), 3);
    assert!(!said.contains("Fechter"), "{said}");
    let environment = env([(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "https://example.org/?key=Fechter",
    )]);
    let said = everything_said(&Written::file(""), &environment);
    assert!(
        said.contains("example.org/v1/metrics") && !said.contains("Fechter"),
        "{said}"
    );
}

#[test]
fn what_nobody_sees_around_a_value_is_refused_and_not_shown() {
    let key = "quiet-harbour-lantern-quiet-harbour-lantern";
    let dir = tempfile::tempdir().unwrap();
    for (invisible, told) in [
        ("\u{feff}", "a byte order mark"),
        ("\n", "a line end"),
        ("\r", "a line end"),
        ("\r\n", "a line end"),
        ("\u{200b}", "a zero-width space"),
    ] {
        for name in [
            "COOKIE_KEY",
            "METRICS_TOKEN",
            "BOOTSTRAP_PASSWORD",
            "REDIS_PASSWORD",
            "REDIS_SENTINEL_PASSWORD",
            "REDIS_URL",
            "DATABASE_URL",
            "DATA_DIR",
        ] {
            let variable = format!("SKRIPTOTEKET_{name}");
            for value in [format!("{key}{invisible}"), format!("{invisible}{key}")] {
                let faults = from_env([(variable.as_str(), value.as_str())]);
                let faults = faults.unwrap_err().to_string();
                assert!(
                    faults.starts_with(&format!("{variable}: {told}")),
                    "{faults}"
                );
                assert!(!faults.contains("harbour"), "{faults}");
            }
        }
        // In the file of a secret: its last line end is not part of it, everything else is.
        let path = dir.path().join("secret");
        std::fs::write(&path, format!("{invisible}{key}\n")).unwrap();
        let variable = ("SKRIPTOTEKET_COOKIE_KEY_FILE", path.to_str().unwrap());
        let faults = from_env([variable]).unwrap_err().to_string();
        assert!(
            faults.contains("in the file it names") && faults.contains(told),
            "{faults}"
        );
        assert!(!faults.contains("harbour"), "{faults}");
    }
    let path = dir.path().join("secret");
    for (text, is_right) in [
        (format!("{key}\n"), true),
        (format!("{key}\r\n"), true),
        (format!("{key}\n\n"), false),
        (format!("{key}\n\r\n"), false),
    ] {
        std::fs::write(&path, text).unwrap();
        let variable = ("SKRIPTOTEKET_COOKIE_KEY_FILE", path.to_str().unwrap());
        let loaded = from_env([variable]);
        assert_eq!(loaded.is_ok(), is_right);
        if let Ok(config) = loaded {
            let read = config.cookie_key.unwrap();
            assert_eq!(secrecy::ExposeSecret::expose_secret(&read), key);
        }
    }
    // In the configuration file.
    let written = Written::file(&format!("cookie_key = \"{key}\\n\"\n"));
    let faults = written.load().unwrap_err().to_string();
    assert!(
        faults.contains("a line end") && !faults.contains("harbour"),
        "{faults}"
    );
}
