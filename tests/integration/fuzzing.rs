//! Runs the fuzz targets of `fuzz/` on random input, so that they keep compiling and their assertions keep holding.

use proptest::{collection::vec, prelude::*};
use skriptoteket_testing::fuzzing as bodies;

/// Returns input for a body: a mode, and bytes that are likely to get far in that mode.
fn input(header: &'static [u8], claims: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let sound = [header, &[0], claims].concat();
    let bytes = vec(any::<u8>(), 0..200);
    // The signed text is JSON with one byte altered, or with two of its positions joined.
    let spoilt = (0..sound.len(), 0..sound.len(), any::<u8>(), any::<bool>()).prop_map(
        move |(at, to, byte, cut)| {
            let mut bytes = sound.clone();
            bytes[at] = byte;
            if cut && at < to {
                bytes.drain(at..to);
            }
            bytes
        },
    );
    (0_u8..4, prop_oneof![bytes, spoilt]).prop_map(|(mode, rest)| [&[mode], &rest[..]].concat())
}

proptest! {
    #[test]
    fn a_token_of_any_bytes_is_refused_or_ours(
        data in input(bodies::TOKEN_HEADER, bodies::TOKEN_CLAIMS)
    ) {
        bodies::token(&data);
    }

    #[test]
    fn an_assertion_of_any_bytes_is_refused_or_the_clients(
        data in input(bodies::ASSERTION_HEADER, bodies::ASSERTION_CLAIMS)
    ) {
        bodies::assertion(&data);
    }
}

#[test]
fn what_the_bodies_start_from_is_accepted() {
    // A change that replaces nothing leaves the token intact, and the body asserts that it is accepted.
    bodies::token(&[1]);
    bodies::assertion(&[1]);
    let signed = |header: &[u8], claims: &[u8]| [&[2], header, &[0], claims].concat();
    bodies::token(&signed(bodies::TOKEN_HEADER, bodies::TOKEN_CLAIMS));
    bodies::assertion(&signed(bodies::ASSERTION_HEADER, bodies::ASSERTION_CLAIMS));
}

/// Found by random input: an audience is compared as a URL, so its scheme may be in capitals.
#[test]
fn an_audience_that_is_written_otherwise_is_the_same() {
    let claims = String::from_utf8_lossy(bodies::TOKEN_CLAIMS);
    let written = claims.replace("https://api.example", "hTtps://api.example");
    assert_ne!(written, claims);
    bodies::token(&[&[2], bodies::TOKEN_HEADER, &[0], written.as_bytes()].concat());
}
