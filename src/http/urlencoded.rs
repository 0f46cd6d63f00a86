//! `application/x-www-form-urlencoded`, parsed strictly. Values may be secrets: they are wiped when they are dropped.

use secrecy::SecretString;
use zeroize::Zeroize;

/// Splits a form into names and values, in their order. `None` stands for a pair that is not UTF-8 in percent-encoding.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = Option<(SecretString, SecretString)>> {
    text.split(|it| *it == b'&').map(|pair| {
        let mut parts = pair.splitn(2, |it| *it == b'=');
        let name = decode(parts.next().unwrap_or_default())?;
        let value = decode(parts.next().unwrap_or_default())?;
        Some((name, value))
    })
}

/// Decodes a name or a value. Returns `None` if a percent sign is not followed by two hexadecimal digits, or if the
/// result is not UTF-8.
///
/// The text is allocated once with the right size, so that no copy of it is left in memory.
pub(crate) fn decode(encoded: &[u8]) -> Option<SecretString> {
    let escapes = encoded.split(|it| *it == b'%').count() - 1;
    let mut decoded = Vec::with_capacity(encoded.len().saturating_sub(2 * escapes));
    let mut rest = encoded.iter();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let Some(byte) = escaped(rest.next(), rest.next()) else {
                    decoded.zeroize();
                    return None;
                };
                byte
            }
            plain => *plain,
        });
    }
    match String::from_utf8(decoded) {
        Ok(text) => Some(text.into()),
        Err(error) => {
            error.into_bytes().zeroize();
            None
        }
    }
}

fn escaped(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |it: Option<&u8>| char::from(*it?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    proptest! {
        #[test]
        fn what_a_client_encodes_is_what_we_decode(value in ".{0,60}") {
            let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let decoded = decode(encoded.as_bytes()).unwrap();
            prop_assert_eq!(decoded.expose_secret(), value);
        }
    }
}
