//! Tokens that were modified in any way.

use p256::ecdsa::Signature;
use proptest::prelude::*;

use super::{BOTH, EXPECTED, NOW, TestKey, claims, encoded, outcome};
use crate::KeyAlgorithm;

#[test]
fn a_token_with_one_character_changed_left_out_or_added_is_refused() {
    for key in BOTH.map(TestKey::new) {
        let keys = key.signing_keys();
        let token = keys.sign(NOW, &claims()).unwrap();
        for at in 0..token.len() {
            let here = token.as_bytes()[at] as char;
            let (before, after) = (&token[..at], &token[at + 1..]);
            let mut changed = vec![format!("{before}{after}")];
            for other in ['A', '_', 'é'] {
                changed.push(format!("{before}{other}{here}{after}"));
                if other != here {
                    changed.push(format!("{before}{other}{after}"));
                }
            }
            for text in changed {
                assert_ne!(
                    outcome(keys.verification_keys(), &text),
                    "accepted",
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn only_our_keys_make_tokens() {
    for algorithm in BOTH {
        let [ours, theirs] = [algorithm; 2].map(TestKey::new);
        let token = theirs.sign(&ours.header().to_string(), &claims().to_json().unwrap());
        for key in [ours, theirs] {
            assert_eq!(
                outcome(key.signing_keys().verification_keys(), &token),
                "bad_signature"
            );
        }
    }
}

#[test]
fn a_signature_in_another_form_is_refused() {
    let key = TestKey::new(KeyAlgorithm::Es256);
    let keys = key.signing_keys();
    let token = keys.sign(NOW, &claims()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let bytes =
        base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, signature).unwrap();
    let signature = Signature::from_slice(&bytes).unwrap();
    let (r, s) = (signature.r(), signature.s());
    // The second signature that can be derived from the first without the key.
    let twin = Signature::from_scalars(*r, -*s).unwrap();
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32)
        .map(|i| u8::from_str_radix(&order[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    for (what, bytes) in [
        ("DER", signature.to_der().as_bytes().to_vec()),
        ("the twin", twin.to_bytes().to_vec()),
        ("zeros", vec![0; 64]),
        ("r is zero", [vec![0; 32], bytes[32..].to_vec()].concat()),
        ("s is zero", [bytes[..32].to_vec(), vec![0; 32]].concat()),
        ("both are the order", order.repeat(2)),
        ("ones", vec![0xff; 64]),
        (
            "the halves changed places",
            [&bytes[32..], &bytes[..32]].concat(),
        ),
        ("a byte less", bytes[..63].to_vec()),
        ("a byte more", [bytes.as_slice(), &[0]].concat()),
        ("none", Vec::new()),
    ] {
        let token = format!("{message}.{}", encoded(&bytes));
        assert_eq!(
            outcome(keys.verification_keys(), &token),
            "bad_signature",
            "{what}"
        );
    }
}

#[test]
fn an_ed25519_signature_in_another_form_is_refused() {
    let key = TestKey::new(KeyAlgorithm::EdDsa);
    let keys = key.signing_keys();
    let token = keys.sign(NOW, &claims()).unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    let good = key.signature(message);
    // s + L verifies as well, unless the check requires s < L.
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut twin = good.clone();
    let mut carry = 0_u16;
    for (byte, add) in twin[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = (carry & 0xff) as u8;
        carry >>= 8;
    }
    let identity = [[1].as_slice(), &[0; 63]].concat();
    for (what, bytes) in [
        ("the twin", twin),
        ("zeros", vec![0; 64]),
        ("the neutral point", identity),
        ("ones", vec![0xff; 64]),
        ("a byte less", good[..63].to_vec()),
        ("a byte more", [good.as_slice(), &[0]].concat()),
        ("none", Vec::new()),
    ] {
        let token = format!("{message}.{}", encoded(&bytes));
        assert_eq!(
            outcome(keys.verification_keys(), &token),
            "bad_signature",
            "{what}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_stop_the_parser(text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keys = TestKey::new(KeyAlgorithm::EdDsa).signing_keys();
        let lossy = String::from_utf8_lossy(&bytes);
        let parts = format!("{}.{}.{}", encoded(&bytes), encoded(text.as_bytes()), encoded(&bytes));
        for token in [text.as_str(), &lossy, &parts] {
            prop_assert!(keys.verification_keys().open(token, NOW, &EXPECTED).is_err());
        }
    }

    #[test]
    fn no_signed_bytes_stop_it_either(header in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let key = TestKey::new(KeyAlgorithm::EdDsa);
        for header in [&header, &key.header().to_string()] {
            let token = key.sign(header, &bytes);
            prop_assert_eq!(outcome(key.signing_keys().verification_keys(), &token), "malformed");
        }
    }
}
