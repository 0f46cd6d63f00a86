//! JSON objects without duplicate members.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

/// The maximum number of members of an object. Tokens have about ten; a limit keeps the comparison of their names
/// short.
const MOST_MEMBERS: usize = 64;

/// Parses the JSON object `text`. `None` if it is not a JSON object, does not match `T`, or has a member twice or one
/// of `unwanted`.
///
/// RFC 7515 and RFC 7519 let a reader take the last of two members of the same name. Two readers that choose
/// differently would read different tokens, so duplicates are rejected here.
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a [u8], unwanted: &[&str]) -> Option<T> {
    // The library skips unused strings without checking that they are UTF-8.
    let text = std::str::from_utf8(text).ok()?;
    let Names(names) = serde_json::from_str(text).ok()?;
    if names.iter().any(|name| unwanted.contains(&name.as_ref())) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// The names of an object's members, without duplicates.
struct Names<'a>(Vec<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Names<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamesVisitor)
    }
}

struct NamesVisitor;

/// A name that is copied only if it contains escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with few members of different names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut names: Vec<Cow<'de, str>> = Vec::with_capacity(12);
        while let Some(Name(name)) = map.next_key()? {
            if names.contains(&name) || names.len() == MOST_MEMBERS {
                return Err(A::Error::custom("too many members"));
            }
            names.push(name);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(Names(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct One {
        a: Option<i64>,
    }

    #[test]
    fn an_object_is_read_if_no_two_members_share_a_name() {
        let read = |text: &[u8]| object::<One>(text, &["no"]);
        assert_eq!(
            read(br#" {"b":[{"c":{}}],"a":1} "#),
            Some(One { a: Some(1) })
        );
        assert_eq!(read(b"{}"), Some(One { a: None }));
        for bad in [
            br#"{"a":1,"a":1}"#.as_slice(),
            br#"{"b":1,"a":1,"b":2}"#,
            br#"{"b":1,"\u0062":2}"#,
            br#"{"a":1} x"#,
            br#"{"a":1}{"a":1}"#,
            br#"{"a":1,}"#,
            br#"{"a":1"#,
            br#"{"no":null}"#,
            br#"{"\u006eo":null}"#,
            b"[1]",
            b"1",
            b"null",
            b"",
            b"\xef\xbb\xbf{}",
            b"{\"b\":\"\xff\"}",
            b"{\"b\xff\":1}",
        ] {
            assert_eq!(read(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        let members = |n: usize| {
            let all: Vec<String> = (0..n).map(|i| format!("\"m{i}\":{i}")).collect();
            format!("{{{}}}", all.join(","))
        };
        assert!(read(members(MOST_MEMBERS).as_bytes()).is_some());
        assert!(read(members(MOST_MEMBERS + 1).as_bytes()).is_none());
    }
}
