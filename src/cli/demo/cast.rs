//! The cast: forty people with the four roles, the devices that they use, and three machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;

use super::machines::Machine;
use crate::accounts::Role;

/// The names of the people. Forty: 24 users, 9 contributors, 5 administrators, 2 superusers, in this order.
pub(super) const NAMES: [&str; 40] = [
    "abel",
    "ada",
    "agnes",
    "alan",
    "amal",
    "anton",
    "astrid",
    "barbara",
    "bo",
    "carl",
    "cecilia",
    "dag",
    "dorothy",
    "edith",
    "edsger",
    "elin",
    "emil",
    "esther",
    "frances",
    "fredrik",
    "grace",
    "greta",
    "hedvig",
    "ida",
    "ingrid",
    "jean",
    "joan",
    "karin",
    "katherine",
    "lars",
    "lise",
    "margaret",
    "mary",
    "niklaus",
    "olof",
    "radia",
    "selma",
    "sofia",
    "tove",
    "vera",
];

/// The number of people with each role at the start, in the order of the names.
const SHARES: [(Role, usize); 4] = [
    (Role::User, 24),
    (Role::Contributor, 9),
    (Role::Admin, 5),
    (Role::Superuser, 2),
];

/// One in this many people also has a phone.
const PHONE_EVERY: usize = 3;

/// A user with an account.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) name: String,
    /// The role at the start.
    pub(super) role: Role,
    /// The password: generated for this run.
    pub(super) password: SecretString,
}

/// A device with a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// Its owner, as an index into the people.
    pub(super) person: usize,
    pub(super) user_agent: &'static str,
    /// Its address, from a range that is reserved for documentation and therefore in use by no one else.
    pub(super) address: IpAddr,
}

/// The people and their devices, and the machines.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    /// All people.
    pub(super) people: Vec<Person>,
    /// All devices; each person has one or two.
    pub(super) devices: Vec<Device>,
    /// The services.
    pub(super) machines: Vec<Machine>,
}

impl Cast {
    /// Creates forty people whose names start with `prefix`, each with a new password.
    pub(super) fn assemble(prefix: &str) -> Self {
        let roles = SHARES.iter().flat_map(|(role, n)| vec![*role; *n]);
        let people = NAMES.iter().zip(roles).map(|(name, role)| Person {
            name: format!("{prefix}{name}"),
            role,
            password: new_password(),
        });
        Self {
            people: people.collect(),
            devices: devices(),
            machines: Machine::all(prefix),
        }
    }
}

/// Number of letters and digits of a password: 95 bits.
const PASSWORD_CHARS: usize = 16;

/// Generates a password that cannot be guessed.
pub(super) fn new_password() -> SecretString {
    Alphanumeric
        .sample_string(&mut rand::rng(), PASSWORD_CHARS)
        .into()
}

fn devices() -> Vec<Device> {
    let people = (0_u8..).zip(0..NAMES.len());
    let desks = people.clone().map(|(number, person)| Device {
        person,
        user_agent: "Mozilla/5.0 (demo; desk)",
        address: Ipv4Addr::new(192, 0, 2, number + 1).into(),
    });
    let phones = people.step_by(PHONE_EVERY).map(|(number, person)| Device {
        person,
        user_agent: "Mozilla/5.0 (demo; phone)",
        // The guard counts by /64, so each phone has its own.
        address: Ipv6Addr::new(0x2001, 0xdb8, 0, u16::from(number), 0, 0, 0, 1).into(),
    });
    desks.chain(phones).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::accounts::{Username, password::check_new};

    #[test]
    fn forty_people_of_four_roles_pass_the_rules_of_accounts() {
        let cast = Cast::assemble("demo-3f9c2a71-");
        assert_eq!(cast.people.len(), 40);
        for (role, n) in SHARES {
            let of_role = cast.people.iter().filter(|person| person.role == role);
            assert_eq!(of_role.count(), n, "{role}");
        }
        for person in &cast.people {
            assert!(person.name.parse::<Username>().is_ok(), "{}", person.name);
            assert_eq!(
                check_new(person.password.expose_secret(), &[&person.name]),
                Ok(())
            );
        }
    }

    #[test]
    fn everybody_has_a_name_a_password_and_an_address_of_their_own() {
        let cast = Cast::assemble("");
        let names: BTreeSet<_> = cast.people.iter().map(|it| &it.name).collect();
        let passwords = cast.people.iter().map(|it| it.password.expose_secret());
        let addresses: BTreeSet<_> = cast.devices.iter().map(|it| it.address).collect();
        assert_eq!(names.len(), 40);
        assert_eq!(passwords.collect::<BTreeSet<_>>().len(), 40);
        assert_eq!(addresses.len(), cast.devices.len());
        assert!(cast.devices.len() > 50);
    }
}
