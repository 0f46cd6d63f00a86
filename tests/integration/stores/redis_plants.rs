//! Every difference that can be planted in the sessions in Redis by hand.

use skriptoteket::sessions::Difference::{
    self, IndexedOtherwise, IndexedWithoutRecord, RecordNotIndexed, TotalsDisagree,
    UnreadableRecord, UserIndexedOtherwise,
};

/// The planted commands, the differences found, and the differences left after the repair.
pub(crate) type Plant = (
    &'static str,
    &'static [(Difference, u64)],
    &'static [(Difference, u64)],
);

/// The differences, one after the other.
pub(crate) const PLANTS: [Plant; 26] = [
    // Records.
    ("DEL A:s:S1", &[(IndexedWithoutRecord, 1)], &[]),
    ("DEL A:s:S1 A:s:S2", &[(IndexedWithoutRecord, 2)], &[]),
    (
        "SET A:s:S1 x",
        &[(IndexedWithoutRecord, 1)],
        &[(UnreadableRecord, 1)],
    ),
    (
        // A name that is not valid: the head is readable, the rest is not.
        "SETRANGE A:s:S2 102 !!!!!!!!!!!!!!",
        &[(IndexedWithoutRecord, 1)],
        &[(UnreadableRecord, 1)],
    ),
    (
        "DEL A:s:S2; LPUSH A:s:S2 x",
        &[(IndexedWithoutRecord, 1)],
        &[(UnreadableRecord, 1)],
    ),
    ("SETRANGE A:s:S2 78 3", &[(IndexedOtherwise, 1)], &[]),
    (
        "SET A:s:kQ3vXw8nY2aBcD4eFgHiJk x; SET A:s:y x; SET A:u:z x",
        &[(UnreadableRecord, 3)],
        &[(UnreadableRecord, 3)],
    ),
    // The index of sessions.
    (
        "ZREM A:z S1",
        &[(RecordNotIndexed, 1), (TotalsDisagree, 1)],
        &[],
    ),
    (
        "DEL A:z",
        &[(RecordNotIndexed, 2), (TotalsDisagree, 2)],
        &[],
    ),
    ("ZINCRBY A:z 1 S1", &[(IndexedOtherwise, 1)], &[]),
    ("ZINCRBY A:z -9999999 S2", &[(IndexedOtherwise, 1)], &[]),
    (
        "ZINCRBY A:z 4398046511104 S2",
        &[(IndexedOtherwise, 1), (TotalsDisagree, 2)],
        &[],
    ),
    (
        "ZADD A:z 17592186044415 kQ3vXw8nY2aBcD4eFgHiJk",
        &[(IndexedWithoutRecord, 1), (TotalsDisagree, 1)],
        &[],
    ),
    (
        // A role that does not exist: it is in no count, and the reaper does not reach it.
        "ZADD A:z 99999999999999 kQ3vXw8nY2aBcD4eFgHiJk",
        &[(IndexedWithoutRecord, 1)],
        &[],
    ),
    (
        "ZADD A:z +inf S1",
        &[(IndexedOtherwise, 1), (TotalsDisagree, 1)],
        &[],
    ),
    // The index of users.
    ("ZREM A:a U", &[(UserIndexedOtherwise, 1)], &[]),
    ("ZINCRBY A:a 5 U", &[(UserIndexedOtherwise, 1)], &[]),
    (
        "ZINCRBY A:a 4398046511104 U",
        &[(UserIndexedOtherwise, 1)],
        &[],
    ),
    (
        "ZADD A:a 4398046511103 AAAAAAAAAAAAAAAAAAAAAA",
        &[(UserIndexedOtherwise, 1)],
        &[],
    ),
    ("ZREM A:u:U S2", &[(UserIndexedOtherwise, 1)], &[]),
    ("DEL A:u:U", &[(UserIndexedOtherwise, 1)], &[]),
    (
        "ZADD A:u:U 77 kQ3vXw8nY2aBcD4eFgHiJk",
        &[(UserIndexedOtherwise, 1)],
        &[],
    ),
    ("DEL A:u:U; SET A:u:U x", &[(UserIndexedOtherwise, 1)], &[]),
    // The totals, and everything at once.
    (
        "HINCRBY A:n s3 5; HINCRBY A:n e03 7",
        &[(TotalsDisagree, 12)],
        &[],
    ),
    ("DEL A:n", &[(TotalsDisagree, 2)], &[]),
    (
        "DEL A:z A:a A:u:U A:n",
        &[(RecordNotIndexed, 2), (UserIndexedOtherwise, 1)],
        &[],
    ),
];
