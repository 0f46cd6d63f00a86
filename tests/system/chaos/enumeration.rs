//! Reads all sessions in a Redis independently of the service: by SCAN, GET, and the key layout in the documentation.

use std::collections::{BTreeMap, BTreeSet};

use skriptoteket_testing::redis::{Reply, Wire};

use crate::chaos::model::Millis;

const PREFIX: &str = "skriptoteket";
const REASONS: usize = 7;
/// The index of the reason for a role change.
const ROLE_CHANGED: usize = 5;
/// A score is role · 2^42 + time in ms.
const ROLE: i64 = 1 << 42;
/// A record holds times of 13 digits each, a number of 13 digits, the role, the user in 22 characters, a newline.
const EXPIRY: std::ops::Range<usize> = 0..13;
const ROLE_AT: usize = 78;
const USER: std::ops::Range<usize> = 79..101;
const HEAD: usize = 102;

/// A session: its role and its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) role: usize,
    pub(crate) expires: Millis,
}

impl Entry {
    fn of(score: i64) -> Self {
        Self {
            role: usize::try_from(score / ROLE).unwrap(),
            expires: score % ROLE,
        }
    }
}

/// The keys as read at one moment. Sessions are listed by public id, users by their name in Redis.
#[derive(Debug, Default)]
pub(crate) struct Enumeration {
    pub(crate) now: Millis,
    pub(crate) records: BTreeMap<String, (Entry, String)>,
    index: BTreeMap<String, Entry>,
    users: BTreeMap<String, Entry>,
    sessions_of: BTreeMap<String, BTreeSet<String>>,
    pub(crate) started: [u64; 4],
    pub(crate) ended: [[u64; REASONS]; 4],
    pub(crate) lost: u64,
    /// Started − ended, by shard.
    balances: BTreeMap<String, i128>,
    faults: Vec<String>,
}

/// Numbers by role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sessions: [u64; 4],
    pub(crate) users: [u64; 4],
}

impl Enumeration {
    /// Reads everything in one transaction, so that nothing changes in between.
    pub(crate) fn read(wire: &mut Wire) -> Self {
        let keys: Vec<String> = wire.scan(&format!("{{{PREFIX}:??}}:*"));
        let mut commands: Vec<(String, [&str; 4])> = Vec::new();
        for key in &keys {
            let (tag, rest) = key.split_at(PREFIX.len() + 6);
            let place = format!("{}{}", &tag[PREFIX.len() + 2..PREFIX.len() + 4], &rest[..1]);
            match &rest[..1] {
                "s" => commands.push((format!("{place}{}", &rest[2..]), ["GET", key, "", ""])),
                "n" => commands.push((place, ["HGETALL", key, "", ""])),
                "u" => {
                    commands.push((format!("{place}{}", &rest[2..]), ["ZRANGE", key, "0", "-1"]));
                }
                "z" | "a" => commands.push((place, ["ZRANGE", key, "0", "-1"])),
                _ => {}
            }
        }
        wire.ask(&["MULTI"]);
        wire.ask(&["TIME"]);
        for (place, words) in &commands {
            let words: Vec<&str> = words.iter().copied().filter(|it| !it.is_empty()).collect();
            // For two of the index keys the scores are read.
            let scores = matches!(&place[2..3], "z" | "a");
            let words = if scores {
                [words.as_slice(), &["WITHSCORES"]].concat()
            } else {
                words
            };
            wire.ask(&words);
        }
        let mut replies = wire.ask(&["EXEC"]).list().into_iter();
        let time = replies.next().unwrap().list();
        let mut this = Self {
            now: time[0].number() * 1_000 + time[1].number() / 1_000,
            ..Self::default()
        };
        for ((place, _), reply) in commands.iter().zip(replies) {
            this.take(place, reply);
        }
        this.compare();
        this
    }

    /// Evaluates a key. `place` is two digits of the shard, the letter of the kind, and a name.
    fn take(&mut self, place: &str, reply: Reply) {
        let (shard, kind, name) = (&place[..2], &place[2..3], &place[3..]);
        match (kind, reply) {
            // It was deleted after the SCAN.
            (_, Reply::Nil) => {}
            ("s", Reply::Bytes(record)) => {
                if let Some(read) = decode(&record) {
                    self.records.insert(format!("{shard}{name}"), read);
                } else {
                    self.faults
                        .push(format!("record {shard}{name} cannot be read"));
                }
            }
            ("u", list) => {
                let of: BTreeSet<String> = list
                    .texts()
                    .into_iter()
                    .map(|sid| format!("{shard}{sid}"))
                    .collect();
                if !of.is_empty() {
                    self.sessions_of.insert(name.to_owned(), of);
                }
            }
            ("n", list) => {
                let fields = list.texts();
                self.totals(shard, &fields);
            }
            (_, list) => {
                for pair in list.texts().chunks(2) {
                    let entry = Entry::of(pair[1].parse().unwrap());
                    if kind == "z" {
                        self.index.insert(format!("{shard}{}", pair[0]), entry);
                    } else {
                        self.users.insert(pair[0].clone(), entry);
                    }
                }
            }
        }
    }

    fn totals(&mut self, shard: &str, fields: &[String]) {
        let mut balance = 0;
        for pair in fields.chunks(2) {
            // Next to the counts there is the text of the last changes.
            let Ok(n) = pair[1].parse::<u64>() else {
                continue;
            };
            let digits: Vec<usize> = pair[0]
                .chars()
                .filter_map(|c| c.to_digit(10))
                .map(|it| usize::try_from(it).unwrap())
                .collect();
            match (&pair[0][..1], digits.as_slice()) {
                ("s", [role]) => {
                    self.started[*role] += n;
                    balance += i128::from(n);
                }
                ("e", [role, reason]) => {
                    self.ended[*role][*reason] += n;
                    balance -= i128::from(n);
                }
                _ if pair[0] == "lost" => self.lost += n,
                _ => {}
            }
        }
        self.balances.insert(shard.to_owned(), balance);
    }

    /// Returns live sessions and distinct users at a moment, from the records alone.
    pub(crate) fn counts_at(&self, moment: Millis) -> Counts {
        let mut counts = Counts::default();
        let mut seen = BTreeSet::new();
        for (entry, user) in self.records.values().filter(|(it, _)| it.expires > moment) {
            counts.sessions[entry.role] += 1;
            if seen.insert((entry.role, user)) {
                counts.users[entry.role] += 1;
            }
        }
        counts
    }

    /// Returns the sessions in the index by role, live and expired. This must equal started − ended.
    pub(crate) fn indexed(&self) -> [u64; 4] {
        let mut indexed = [0; 4];
        for entry in self.index.values() {
            indexed[entry.role] += 1;
        }
        indexed
    }

    /// Returns sessions started by logins and sessions ended, without the moves from role to role.
    pub(crate) fn logins(&self) -> (u64, [u64; REASONS]) {
        let mut ended = [0; REASONS];
        for of_role in self.ended {
            for (sum, n) in ended.iter_mut().zip(of_role) {
                *sum += n;
            }
        }
        (
            self.started.iter().sum::<u64>() - ended[ROLE_CHANGED],
            ended,
        )
    }

    /// Returns the inconsistencies that were found.
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    fn compare(&mut self) {
        let mut faults = std::mem::take(&mut self.faults);
        let live = |it: &Entry| it.expires > self.now;
        for (id, entry) in self.index.iter().filter(|(_, it)| live(it)) {
            match self.records.get(id) {
                None => faults.push(format!("{id} is counted but has no record")),
                Some((other, _)) if other != entry => {
                    faults.push(format!(
                        "{id} is {entry:?} in the index, {other:?} in its record"
                    ));
                }
                Some(_) => {}
            }
        }
        let mut latest: BTreeMap<&str, Entry> = BTreeMap::new();
        let mut own: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (id, (entry, user)) in self.records.iter().filter(|(_, (it, _))| live(it)) {
            if !self.index.contains_key(id) {
                faults.push(format!("{id} can be used but is not counted"));
            }
            own.entry(user).or_default().insert(id);
            let top = latest.entry(user).or_insert(*entry);
            if top.role != entry.role {
                faults.push(format!("user {user} has sessions of two roles"));
            }
            top.expires = top.expires.max(entry.expires);
        }
        for (user, top) in &latest {
            if self.users.get(*user) != Some(top) {
                let found = self.users.get(*user);
                faults.push(format!(
                    "user {user} is {found:?} in the index, {top:?} by its sessions"
                ));
            }
            let listed = self.sessions_of.get(*user).cloned().unwrap_or_default();
            let missing = own[user].iter().filter(|id| !listed.contains(**id)).count();
            if missing > 0 {
                faults.push(format!(
                    "{missing} sessions of user {user} are not in its list"
                ));
            }
        }
        for (user, entry) in self.users.iter().filter(|(_, it)| live(it)) {
            if !latest.contains_key(user.as_str()) {
                faults.push(format!(
                    "user {user} is counted ({entry:?}) but has no session"
                ));
            }
        }
        for (user, listed) in &self.sessions_of {
            let strays = listed
                .iter()
                .filter(|id| !self.index.contains_key(*id))
                .count();
            if strays > 0 {
                faults.push(format!(
                    "{strays} sessions in the list of user {user} are not in any index"
                ));
            }
        }
        for (role, n) in self.indexed().into_iter().enumerate() {
            let ended: u64 = self.ended[role].iter().sum();
            let left = i128::from(self.started[role]) - i128::from(ended);
            if left != i128::from(n) {
                faults.push(format!(
                    "role {role}: started − ended = {left}, in the index {n}"
                ));
            }
        }
        for (shard, balance) in &self.balances {
            let n = self.index.keys().filter(|id| id.starts_with(shard)).count();
            if *balance != i128::try_from(n).unwrap() {
                faults.push(format!(
                    "shard {shard}: started − ended = {balance}, in the index {n}"
                ));
            }
        }
        if self.lost > 0 {
            faults.push(format!("{} sessions were lost", self.lost));
        }
        self.faults = faults;
    }
}

fn decode(record: &[u8]) -> Option<(Entry, String)> {
    let head = std::str::from_utf8(record.get(..HEAD)?).ok()?;
    let entry = Entry {
        role: head[ROLE_AT..=ROLE_AT].parse().ok().filter(|it| *it < 4)?,
        expires: head[EXPIRY].parse().ok()?,
    };
    head.ends_with('\n').then(|| (entry, head[USER].to_owned()))
}
