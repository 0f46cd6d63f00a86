//! The session cookies of a request, read from the octets of its `Cookie` headers.
//!
//! The `Cookie` header is shared by all applications of the host, and its syntax is loose: a server gets octets (RFC
//! 6265, section 5.4). actix reads all cookies or none: one octet that is not UTF-8, in the cookie of any application,
//! hides all of them. It also decodes percent signs in names and trims Unicode spaces, so that `__%48ost-name` passes
//! for `__Host-name`, which the prefix is meant to prevent. This module reads the pairs one by one, and keeps only
//! those that actix reads as they were sent.

use actix_web::{
    cookie::{Cookie, CookieJar},
    http::header::{COOKIE, HeaderMap, HeaderValue},
};

use super::cookie::CookieSettings;
use skriptoteket_sessions::SessionId;

/// Leaves in `headers` the readable cookies and, of those with the name of the session cookie, only the first that this
/// service has issued. Returns the sessions of all issued cookies, in the order of the header and without duplicates,
/// if there are several or if the header had to be searched. Returns nothing for an ordinary request, which stays
/// unchanged.
///
/// Costs one pass over the header. Only if there are several candidates, each is decrypted, which takes some
/// microseconds; the size of a request head limits their number.
pub(super) fn sort_out(headers: &mut HeaderMap, settings: &CookieSettings) -> Vec<SessionId> {
    if is_usual(headers, settings.name()) {
        return Vec::new();
    }
    let mut sorted = Sorted::default();
    for header in headers.get_all(COOKIE) {
        for pair in header.as_bytes().split(|it| *it == b';') {
            sorted.add(trim(pair), settings);
        }
    }
    headers.remove(COOKIE);
    let pairs: Vec<String> = sorted.ours.into_iter().chain(sorted.others).collect();
    if let (false, Ok(value)) = (pairs.is_empty(), HeaderValue::from_str(&pairs.join("; "))) {
        headers.insert(COOKIE, value);
    }
    sorted.sessions
}

/// The cookies of a request, sorted.
#[derive(Default)]
struct Sorted {
    /// The session cookie to use.
    ours: Option<String>,
    others: Vec<String>,
    /// The sessions of all cookies issued by this service.
    sessions: Vec<SessionId>,
}

impl Sorted {
    fn add(&mut self, pair: &[u8], settings: &CookieSettings) {
        let Ok(text) = str::from_utf8(pair) else {
            return;
        };
        // Parsed in the same way as by actix.
        let Ok(cookie) = Cookie::parse_encoded(text) else {
            return;
        };
        if cookie.name() != settings.name() {
            self.others.push(text.to_owned());
            return;
        }
        // The name as sent is different, and no prefix protects it.
        if name_of(pair) != settings.name().as_bytes() {
            return;
        }
        let session = session_of(cookie.into_owned(), settings);
        if self.ours.is_none() || (self.sessions.is_empty() && session.is_some()) {
            self.ours = Some(text.to_owned());
        }
        if let Some(session) = session
            && !self.sessions.contains(&session)
        {
            self.sessions.push(session);
        }
    }
}

/// Returns the session that this cookie names, or `None` if this service did not issue the cookie.
fn session_of(cookie: Cookie<'static>, settings: &CookieSettings) -> Option<SessionId> {
    let mut jar = CookieJar::new();
    jar.add_original(cookie);
    let opened = jar.private(&settings.key()).get(settings.name())?;
    SessionId::of_key(opened.value()).ok()
}

/// Returns whether actix reads these headers correctly: one ASCII header, plain names, at most one session cookie.
fn is_usual(headers: &HeaderMap, name: &str) -> bool {
    let mut all = headers.get_all(COOKIE);
    let Some(header) = all.next() else {
        return true;
    };
    let mut ours = 0;
    let mut plain = all.next().is_none() && header.as_bytes().is_ascii();
    for pair in header.as_bytes().split(|it| *it == b';') {
        let its = name_of(pair);
        plain &= !its.contains(&b'%');
        ours += usize::from(its == name.as_bytes());
    }
    plain && ours <= 1
}

/// Returns the name of a pair as it was sent.
fn name_of(pair: &[u8]) -> &[u8] {
    let end = pair.iter().position(|it| *it == b'=');
    trim(&pair[..end.unwrap_or(pair.len())])
}

/// Trims spaces and tabs (RFC 6265bis, section 5.6, step 4).
fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use skriptoteket_login::accounts::UserId;
    use skriptoteket_sessions::SessionKey;

    fn settings() -> CookieSettings {
        let url = "https://login.example".parse().unwrap();
        CookieSettings::new(&"key material".into(), &url)
    }

    /// Creates a session and a cookie that names it.
    fn made() -> (SessionId, String) {
        let key = SessionKey::generate(UserId::from(Uuid::now_v7()));
        let settings = settings();
        let mut jar = CookieJar::new();
        let cookie = Cookie::new(settings.name(), key.expose().to_owned());
        jar.private_mut(&settings.key()).add(cookie);
        let cookie = jar.get(settings.name()).unwrap();
        (key.id(), cookie.encoded().stripped().to_string())
    }

    fn sorted(values: &[&[u8]]) -> (Vec<SessionId>, Option<String>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_bytes(value).unwrap());
        }
        let sessions = sort_out(&mut headers, &settings());
        let mut left = headers.get_all(COOKIE);
        let one = left.next().map(|it| it.to_str().unwrap().to_owned());
        assert!(left.next().is_none());
        (sessions, one)
    }

    #[test]
    fn a_usual_header_stays_as_it_is() {
        let (_, cookie) = made();
        for usual in [
            "",
            "a=b",
            "a; =b; c==;; d=\"e\"",
            &cookie,
            &format!("a=%db;{cookie}  ; b=c"),
            "__Host-skriptoteket=made-up",
        ] {
            let (sessions, left) = sorted(&[usual.as_bytes()]);
            assert!(sessions.is_empty(), "{usual}");
            assert_eq!(left.as_deref(), Some(usual));
        }
        assert_eq!(sorted(&[]), (Vec::new(), None));
    }

    #[test]
    fn octets_that_are_no_text_hide_their_own_cookie_only() {
        let (id, cookie) = made();
        for other in [
            &b"lang=fran\xe7ais"[..],
            b"\xff",
            b"\xc3\x28=x",
            b"\xe9=\xe9",
        ] {
            let before = [other, b"; ", cookie.as_bytes()].concat();
            let after = [cookie.as_bytes(), b";", other].concat();
            for header in [before, after] {
                let (sessions, left) = sorted(&[&header]);
                assert_eq!(sessions, std::slice::from_ref(&id));
                assert_eq!(left.as_deref(), Some(cookie.as_str()));
            }
            let (sessions, left) = sorted(&[other, cookie.as_bytes(), b"a=b"]);
            assert_eq!(sessions, std::slice::from_ref(&id));
            assert_eq!(left, Some(format!("{cookie}; a=b")));
        }
    }

    #[test]
    fn of_several_cookies_of_ours_those_that_we_made_are_named() {
        let ((one, first), (two, second)) = (made(), made());
        let stale = "__Host-skriptoteket=stale";
        for (header, ids, used) in [
            (format!("{stale}; {first}"), vec![&one], &first),
            (format!("{first}; {stale}"), vec![&one], &first),
            (
                format!("{first}; {second}; {first}"),
                vec![&one, &two],
                &first,
            ),
            (
                format!("{second}; {stale}; {first}"),
                vec![&two, &one],
                &second,
            ),
        ] {
            let (sessions, left) = sorted(&[header.as_bytes()]);
            assert_eq!(sessions.iter().collect::<Vec<_>>(), ids, "{header}");
            assert_eq!(left.as_ref(), Some(used));
        }
        let junk = format!("{stale}; {stale}");
        let (sessions, left) = sorted(&[junk.as_bytes()]);
        assert_eq!((sessions.len(), left.as_deref()), (0, Some(stale)));
    }

    #[test]
    fn a_name_that_only_reads_like_ours_is_not_ours() {
        let (id, cookie) = made();
        let (_, value) = cookie.split_once('=').unwrap();
        for name in [
            "__%48ost-skriptoteket",
            "%5f_Host-skriptoteket",
            "\u{2000}__Host-skriptoteket",
            "__Host-skriptoteket\u{a0}",
            "\u{85}__Host-skriptoteket",
        ] {
            let planted = format!("{name}={value}");
            let (sessions, left) = sorted(&[planted.as_bytes()]);
            assert_eq!((sessions.len(), left), (0, None), "{name:?}");
            let both = format!("{planted}; {cookie}");
            let (sessions, left) = sorted(&[both.as_bytes()]);
            assert_eq!(sessions, std::slice::from_ref(&id), "{name:?}");
            assert_eq!(left.as_deref(), Some(cookie.as_str()));
        }
    }
}
