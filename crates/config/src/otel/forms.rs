//! The syntax of `OTEL_…` values.

use std::{fmt, str::from_utf8};

use url::Url;

use skriptoteket_telemetry::OtlpProtocol;

use crate::{
    faults::Problem,
    forms::{Choice, Form, has_credentials},
};

pub(super) const SWITCH: AnyCase<bool> = AnyCase(Choice(&[("true", true), ("false", false)]));

pub(super) const PROTOCOL: Choice<OtlpProtocol> = Choice(&[
    ("grpc", OtlpProtocol::Grpc),
    ("http/protobuf", OtlpProtocol::HttpProtobuf),
]);

/// The exporters read the variable themselves; the value is only checked.
pub(super) const COMPRESSION: AnyCase<()> = AnyCase(Choice(&[("gzip", ()), ("none", ())]));

/// The exporters read the variable themselves; the value is only checked.
pub(super) const TEMPORALITY: AnyCase<()> = AnyCase(Choice(&[
    ("cumulative", ()),
    ("delta", ()),
    ("lowmemory", ()),
]));

/// The exporters that a signal can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exporter {
    Otlp,
    Prometheus,
    None,
}

pub(super) const EXPORTER: Choice<Exporter> =
    Choice(&[("otlp", Exporter::Otlp), ("none", Exporter::None)]);

pub(super) const METRICS_EXPORTER: Choice<Exporter> = Choice(&[
    ("otlp", Exporter::Otlp),
    ("prometheus", Exporter::Prometheus),
    ("none", Exporter::None),
]);

/// Words that are case-insensitive.
pub(super) struct AnyCase<T: 'static>(Choice<T>);

impl<T: Copy + Sync> Form for AnyCase<T> {
    type Value = T;

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn read(&self, text: &str) -> Result<T, Problem> {
        self.0.read(&text.to_ascii_lowercase())
    }
}

/// Comma-separated exporters.
pub(super) struct Several(pub(super) Choice<Exporter>);

impl Form for Several {
    type Value = Vec<Exporter>;

    fn expected(&self) -> String {
        format!(
            "{}, or several separated by commas; none cannot be combined",
            self.0.expected()
        )
    }

    fn read(&self, text: &str) -> Result<Vec<Exporter>, Problem> {
        let items = text.split(',').map(|item| self.0.read(item.trim()));
        match items.collect::<Result<Vec<_>, _>>() {
            Ok(list) if list.len() == 1 || !list.contains(&Exporter::None) => Ok(list),
            _ => Err(self.unexpected()),
        }
    }
}

/// The URL of a Collector.
pub(super) struct Endpoint;

impl Form for Endpoint {
    type Value = Url;

    fn expected(&self) -> String {
        "a URL, for example http://localhost:4318 or https://collector.example.org:4317".into()
    }

    fn may_show(&self, text: &str) -> bool {
        // The user may have written a password into it.
        !text.contains('@')
    }

    fn read(&self, text: &str) -> Result<Url, Problem> {
        let url = Url::parse(text).map_err(|_| self.unexpected())?;
        if has_credentials(&url) {
            return Err(Problem::Expected(
                "a URL without user name and password: use OTEL_EXPORTER_OTLP_HEADERS for them"
                    .into(),
            ));
        }
        match url.scheme() {
            "http" | "https" if url.has_host() => Ok(url),
            _ => Err(self.unexpected()),
        }
    }
}

/// A share, from 0 to 1.
pub(super) struct Ratio;

impl Form for Ratio {
    type Value = f64;

    fn expected(&self) -> String {
        "a number from 0 to 1, for example 0.01".into()
    }

    fn read(&self, text: &str) -> Result<f64, Problem> {
        let ratio = text.parse().ok();
        let within = |it: &f64| (0.0..=1.0).contains(it);
        ratio.filter(within).ok_or_else(|| self.unexpected())
    }
}

/// A name without control characters.
pub(super) struct Name;

impl Form for Name {
    type Value = String;

    fn expected(&self) -> String {
        "a name without control characters".into()
    }

    fn read(&self, text: &str) -> Result<String, Problem> {
        if text.chars().any(char::is_control) {
            return Err(self.unexpected());
        }
        Ok(text.to_owned())
    }
}

/// A list of `name=value`, percent-decoded.
pub(super) type Pairs = Vec<(String, String)>;

/// Headers of exports. They are secrets and never shown.
pub(super) struct Headers;

impl Form for Headers {
    type Value = Pairs;

    fn expected(&self) -> String {
        "name=value, or several separated by commas: names of HTTP headers, and values in which spaces, commas \
         and characters outside ASCII are percent-encoded"
            .into()
    }

    fn may_show(&self, _: &str) -> bool {
        false
    }

    fn read(&self, text: &str) -> Result<Pairs, Problem> {
        let wrong = |what: Wrong| Problem::Expected(format!("{}; {what}", self.expected()));
        let pairs = pairs(text).map_err(wrong)?;
        for (index, (name, value)) in pairs.iter().enumerate() {
            let at = index + 1;
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(wrong(Wrong(at, "does not have a valid header name")));
            }
            let visible = |byte| byte == b'\t' || (b' '..=b'~').contains(&byte);
            if value.is_empty() || !value.bytes().all(visible) {
                return Err(wrong(Wrong(at, "does not have a valid header value")));
            }
        }
        Ok(pairs)
    }
}

/// Returns true for the bytes allowed in the name of a header (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Attributes of the resource.
///
/// They are written as W3C Baggage, without properties. Characters that should have been encoded are accepted as they
/// are, as in other SDKs.
pub(super) struct Attributes;

impl Form for Attributes {
    type Value = Pairs;

    fn expected(&self) -> String {
        "name=value, or several separated by commas, with % , and = in values percent-encoded (%25 %2C %3D)".into()
    }

    fn read(&self, text: &str) -> Result<Pairs, Problem> {
        let wrong = |what: Wrong| Problem::Expected(format!("{}; {what}", self.expected()));
        let pairs = pairs(text).map_err(wrong)?;
        for (index, (name, value)) in pairs.iter().enumerate() {
            if name.is_empty() {
                return Err(wrong(Wrong(index + 1, "has no name")));
            }
            if [name, value]
                .into_iter()
                .any(|it| it.chars().any(char::is_control))
            {
                return Err(wrong(Wrong(index + 1, "contains a control character")));
            }
        }
        Ok(pairs)
    }
}

/// The position of the invalid item in a list, counted from 1, and the problem.
struct Wrong(usize, &'static str);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "number {} {}", self.0, self.1)
    }
}

/// Returns the items of a list. A trailing comma is allowed.
fn pairs(text: &str) -> Result<Pairs, Wrong> {
    let items = text.trim().trim_end_matches(',').split(',');
    let read = |(index, item): (usize, &str)| {
        let at = index + 1;
        let (name, value) = item.split_once('=').ok_or(Wrong(at, "has no ="))?;
        let decode = |text: &str| {
            percent_decoded(text.trim()).ok_or(Wrong(
                at,
                "has a % that is not part of percent-encoded UTF-8",
            ))
        };
        Ok((decode(name)?, decode(value)?))
    };
    items.enumerate().map(read).collect()
}

/// Returns the percent-decoded text; `None` if it is malformed or not UTF-8. A `+` is not decoded.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            bytes.push(u8::from_str_radix(from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}
