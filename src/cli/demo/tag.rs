//! Marks what a demo has created: names that do not occur by chance.

use super::{cast, machines, operator::Made};

/// The prefix of a demo's names at another service.
const BEGINNING: &str = "demo-";

/// Generates the tag of a run: eight hexadecimal digits, of which the last three are a checksum of the first five. So
/// a similar name matches by chance in only one of 4,096 cases, even if the rest of it fits.
pub(super) fn new_tag() -> String {
    let number = rand::random::<u32>() >> 12;
    format!("{number:05x}{:03x}", check(number))
}

/// Returns true if this is the tag of a run.
pub(super) fn is_tag(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 8 || !text.bytes().all(is_digit) {
        return false;
    }
    let number = u32::from_str_radix(text, 16);
    number.is_ok_and(|number| number & 0xfff == check(number >> 12))
}

/// Returns a checksum of twelve bits for twenty bits, by multiplicative hashing (Knuth, The Art of Computer
/// Programming, 6.4).
const fn check(number: u32) -> u32 {
    number.wrapping_add(1).wrapping_mul(0x9e37_79b1) >> 20
}

/// Returns the prefix of the names of a run's accounts and services.
pub(super) fn prefix(tag: &str) -> String {
    format!("{BEGINNING}{tag}-")
}

/// Returns true if any demo has created this: checks the whole name, and for a service also its description.
pub(super) fn is_of_a_demo(made: &Made<'_>) -> bool {
    match made {
        Made::Account { username } => {
            untagged(username).is_some_and(|name| cast::NAMES.contains(&name))
        }
        Made::Service { id, description } => {
            untagged(id).is_some_and(|name| machines::is_one(name, description))
        }
    }
}

/// Returns a demo's name without its prefix; nothing if it is not a demo's.
fn untagged(name: &str) -> Option<&str> {
    let (tag, name) = name.strip_prefix(BEGINNING)?.split_once('-')?;
    is_tag(tag).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_again_and_nothing_else_is_one() {
        for _ in 0..100 {
            let tag = new_tag();
            assert!(is_tag(&tag), "{tag}");
            let last = if tag.ends_with('0') { '1' } else { '0' };
            assert!(!is_tag(&format!("{}{last}", &tag[..7])), "{tag}");
            assert!(!is_tag(&format!("{tag}0")) && !is_tag(&tag[1..]));
        }
        assert!(!is_tag("") && !is_tag("+0000000") && !is_tag("ABCDEFAB"));
    }

    #[test]
    fn only_what_a_demo_makes_is_its_own() {
        let prefix = prefix(&new_tag());
        let account = |username: &str| is_of_a_demo(&Made::Account { username });
        assert!(account(&format!("{prefix}ada")));
        assert!(!account(&format!("{prefix}boss")) && !account(&prefix));
        assert!(!account("ada") && !account("demo") && !account("demo-ada"));
        assert!(!account("demo-00000000-ada") && !account(&format!("x{prefix}ada")));

        let service =
            |id: &str, description: &str| is_of_a_demo(&Made::Service { id, description });
        let id = format!("{prefix}inventory");
        assert!(service(&id, "Demo: counts what is in stock"));
        assert!(!service(&id, "Counts what is in stock"));
        assert!(!service(&id, "Demo: runs at night"));
        assert!(!service("inventory", "Demo: counts what is in stock"));
    }
}
