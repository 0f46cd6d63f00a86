use proptest::prelude::*;

use super::*;
use crate::Change;

const USER: usize = Role::User.index();
const ADMIN: usize = Role::Admin.index();
const LOGOUT: usize = EndReason::Logout.index();
const IDLE: usize = EndReason::Idle.index();
const LOST: usize = EndReason::Lost.index();

/// A part of a store: its operations, and earlier states to restore.
#[derive(Clone, Debug)]
struct Store {
    now: PartTotals,
    at: u64,
    remembers: usize,
}

impl Store {
    fn new() -> Self {
        Self {
            now: PartTotals::default(),
            at: 0,
            remembers: 7,
        }
    }

    /// A part from a release that does not keep its last changes.
    fn old() -> Self {
        Self {
            remembers: 0,
            ..Self::new()
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Totals)) {
        let mut added = Totals::default();
        change(&mut added);
        self.at += 1;
        self.now.totals.add(&added);
        if self.remembers > 0 && self.now.recent.is_empty() {
            self.now.origin = Some(self.at);
        }
        let change = Change {
            at: self.at,
            added,
            sessions: Vec::new(),
        };
        self.now.recent.insert(0, change);
        self.now.recent.truncate(self.remembers);
    }

    fn start(&mut self, n: u64) {
        for _ in 0..n {
            self.change(|it| it.started[USER] = 1);
        }
    }

    fn end(&mut self, reason: usize, n: u64) {
        for _ in 0..n {
            self.change(|it| it.ended[USER][reason] = 1);
        }
    }

    /// Restores the data of `earlier`; the clock is not set back.
    fn put_back(&mut self, earlier: &Self) {
        self.now = earlier.now.clone();
    }

    fn empty(&mut self) {
        self.now = PartTotals::default();
    }

    fn parts(&self) -> Vec<(String, PartTotals)> {
        vec![("00".to_owned(), self.now.clone())]
    }
}

fn entered(stores: &Store) -> Ledger {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.enter(&stores.parts()), Reconciled::default());
    ledger
}

const fn reconciled(lost: u64, restored: u64) -> Reconciled {
    Reconciled { lost, restored }
}

#[test]
fn the_first_count_and_what_follows_are_taken_as_they_are() {
    let mut store = Store::new();
    store.start(900);
    store.end(LOGOUT, 300);
    let mut ledger = entered(&store);
    assert_eq!(ledger.totals, store.now.totals);
    // More changes than the store keeps.
    store.start(20);
    store.end(IDLE, 20);
    assert_eq!(ledger.enter(&store.parts()), reconciled(0, 0));
    assert_eq!(ledger.totals, store.now.totals);
}

#[test]
fn sessions_that_a_store_forgets_are_lost_also_if_more_have_started_since() {
    let mut store = Store::new();
    store.start(10);
    let earlier = store.clone();
    store.start(3);
    let mut ledger = entered(&store);
    store.put_back(&earlier);
    store.start(5);
    assert_eq!(ledger.enter(&store.parts()), reconciled(3, 0));
    assert_eq!(ledger.totals.started[USER], 18);
    assert_eq!(ledger.totals.ended[USER][LOST], 3);
    assert_eq!(ledger.totals.held(), store.now.totals.held());
}

#[test]
fn a_session_whose_end_is_forgotten_is_started_again() {
    let mut store = Store::new();
    store.start(10);
    let earlier = store.clone();
    store.start(2);
    store.end(LOGOUT, 2);
    let mut ledger = entered(&store);
    store.put_back(&earlier);
    assert_eq!(ledger.enter(&store.parts()), reconciled(2, 2));
    assert_eq!(ledger.totals.started[USER], 14);
    assert_eq!(ledger.totals.ended[USER][LOGOUT], 2);
    assert_eq!(ledger.totals.held()[USER], 10);
}

#[test]
fn a_session_that_came_and_went_in_the_forgotten_time_is_neither_lost_nor_restored() {
    let mut store = Store::new();
    store.start(10);
    let earlier = store.clone();
    let named = |store: &mut Store, name: &str| {
        store.now.recent[0].sessions = vec![name.to_owned()];
    };
    for name in ["+a", "+b", "+c"] {
        store.start(1);
        named(&mut store, name);
    }
    for name in ["-b", "-x"] {
        store.end(LOGOUT, 1);
        named(&mut store, name);
    }
    let mut ledger = entered(&store);
    store.put_back(&earlier);
    // a and c are lost, x is restored.
    assert_eq!(ledger.enter(&store.parts()), reconciled(2, 1));
    assert_eq!(ledger.totals.held()[USER], 10);
}

#[test]
fn no_more_are_lost_than_there_were() {
    let mut store = Store::new();
    store.start(5);
    let backup = store.clone();
    // A day: hundreds of sessions start and end, and the five end too.
    store.start(500);
    store.end(IDLE, 502);
    let mut ledger = entered(&store);
    store.put_back(&backup);
    assert_eq!(ledger.enter(&store.parts()), reconciled(3, 5));
    assert_eq!(ledger.totals.started[USER], 510);
    assert_eq!(ledger.totals.held()[USER], 5);
}

#[test]
fn an_emptied_store_begins_anew_and_all_that_starts_in_it_counts() {
    let mut store = Store::new();
    store.start(40);
    store.end(LOGOUT, 10);
    let mut ledger = entered(&store);
    store.empty();
    let mut emptied = ledger.clone();
    assert_eq!(emptied.enter(&store.parts()), reconciled(30, 0));
    assert_eq!(emptied.totals.started[USER], 40);

    store.start(9);
    store.end(LOGOUT, 1);
    for ledger in [&mut ledger, &mut emptied] {
        ledger.enter(&store.parts());
        assert_eq!(ledger.totals.started[USER], 49);
        assert_eq!(ledger.totals.ended[USER][LOGOUT], 11);
        assert_eq!(ledger.totals.ended[USER][LOST], 30);
        assert_eq!(ledger.totals.held()[USER], 8);
    }
}

#[test]
fn a_backup_that_follows_an_emptied_store_is_no_burst_of_starts() {
    let mut store = Store::new();
    store.start(3_000);
    store.end(IDLE, 2_980);
    let backup = store.clone();
    let ledger = entered(&store);
    for comes_back in [2, 0] {
        let mut ledger = ledger.clone();
        store.empty();
        store.start(comes_back);
        assert_eq!(ledger.enter(&store.parts()), reconciled(20, 0));
        store.put_back(&backup);
        assert_eq!(ledger.enter(&store.parts()), reconciled(comes_back, 20));
        assert_eq!(ledger.totals.started[USER], 3_020 + comes_back);
        assert_eq!(ledger.totals.held()[USER], 20);
    }
}

#[test]
fn sessions_in_another_place_go_on_where_those_of_the_first_one_stopped() {
    let mut embedded = Store::old();
    embedded.start(9);
    embedded.end(LOGOUT, 4);
    let mut ledger = Ledger::default();
    ledger.enter(&[("all".to_owned(), embedded.now)]);
    let mut redis = Store::new();
    redis.start(100);
    redis.end(LOGOUT, 98);
    assert_eq!(ledger.enter(&redis.parts()), reconciled(5, 2));
    assert_eq!(ledger.totals.started[USER], 11);
    assert_eq!(ledger.totals.held()[USER], 2);
}

#[test]
fn one_part_that_falls_is_not_hidden_by_others_that_rise() {
    let (mut one, mut other) = (Store::new(), Store::new());
    one.start(10);
    other.start(10);
    let earlier = one.clone();
    one.start(2);
    let both = |one: &Store, other: &Store| {
        vec![
            ("00".to_owned(), one.now.clone()),
            ("01".to_owned(), other.now.clone()),
        ]
    };
    let mut ledger = Ledger::default();
    ledger.enter(&both(&one, &other));
    one.put_back(&earlier);
    other.start(7);
    assert_eq!(ledger.enter(&both(&one, &other)), reconciled(2, 0));
    assert_eq!(ledger.totals.started[USER], 29);
}

#[test]
fn a_store_of_an_earlier_release_that_begins_to_remember_has_lost_nothing() {
    let mut store = Store::old();
    store.start(10);
    let mut ledger = entered(&store);
    store.remembers = 7;
    store.start(2);
    assert_eq!(ledger.enter(&store.parts()), reconciled(0, 0));
    assert_eq!(ledger.totals, store.now.totals);
}

#[test]
fn a_ledger_is_read_as_it_was_written() {
    let mut store = Store::new();
    store.start(12);
    store.end(LOGOUT, 3);
    store.change(|it| it.started[ADMIN] = 2);
    let ledger = entered(&store);
    let text = serde_json::to_string(&ledger).unwrap();
    assert!(text.contains(r#""totals":"s0=12 e00=3 s2=2""#), "{text}");
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
    // From a later release.
    let later: Totals = serde_json::from_str(r#""s0=4 e09=3 x=1 s0""#).unwrap();
    assert_eq!(later.started[USER], 4);
}

#[derive(Clone, Debug)]
enum Act {
    Start(u64),
    End(usize, u64),
    Keep,
    PutBack,
    Empty,
    Count,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1_u64..6).prop_map(Act::Start),
        4 => (0_usize..6, 1_u64..6).prop_map(|(reason, n)| Act::End(reason, n)),
        1 => Just(Act::Keep),
        1 => Just(Act::PutBack),
        1 => Just(Act::Empty),
        3 => Just(Act::Count),
    ]
}

proptest! {
    #[test]
    fn no_total_ever_falls_and_the_difference_is_what_is_there(
        acts in proptest::collection::vec(act(), 0..120),
    ) {
        let mut store = Store::new();
        let (mut kept, mut ledger) = (store.clone(), Ledger::default());
        for act in acts {
            match act {
                Act::Start(n) => store.start(n),
                Act::End(reason, n) => {
                    let held = store.now.totals.held()[USER].unsigned_abs();
                    store.end(reason, n.min(held));
                }
                Act::Keep => kept = store.clone(),
                Act::PutBack => store.put_back(&kept),
                Act::Empty => store.empty(),
                Act::Count => {
                    let before = ledger.totals;
                    ledger.enter(&store.parts());
                    prop_assert_eq!(before.above(&ledger.totals), Totals::default());
                    prop_assert_eq!(ledger.totals.held(), store.now.totals.held());
                }
            }
        }
    }
}
