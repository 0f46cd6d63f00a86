//! The contract of `TokenRepository`.

use std::time::Duration;

use secrecy::ExposeSecret;
use skriptoteket::{
    error::StoreError,
    services::{KeyAlgorithm, NewSigningKey, Revision, TokenId},
};
use tokio::task::JoinSet;

use crate::stores::{
    services::revision,
    world::{World, seconds},
};

on_the_embedded_store!(
    a_key_is_read_as_it_was_added,
    keys_come_the_oldest_first_and_without_the_expired,
    a_new_key_lets_the_others_expire_after_it_begins_to_sign,
    a_key_that_was_to_expire_earlier_still_does,
    a_key_that_is_overtaken_before_it_signs_is_dropped,
    a_key_is_added_only_after_the_newest_that_its_maker_knows,
    of_replicas_that_add_a_key_at_once_one_does,
    a_key_id_is_there_once,
    revocations_come_in_their_order_after_a_place,
    a_token_that_is_revoked_stays_so,
    a_revocation_is_told_until_its_token_has_expired,
    the_place_of_a_revocation_is_never_used_again,
    an_assertion_is_used_once,
    of_many_uses_of_an_assertion_at_once_one_counts,
    no_more_than_asked_is_removed_of_what_has_expired,
    the_revision_rises_with_keys_and_revocations_only,
    tokens_survive_a_restart,
    what_is_closed_is_unavailable,
);

const LEAD: Duration = seconds(100);
const LAST: Duration = seconds(1_000);

pub(crate) fn new_key(id: &str) -> NewSigningKey {
    NewSigningKey {
        id: id.to_owned(),
        algorithm: KeyAlgorithm::EdDsa,
        private: format!("the private key {id}").into_bytes().into(),
        active_in: LEAD,
        others_last: LAST,
    }
}

async fn add(world: &World, id: &str, newest: Option<&str>) -> bool {
    let added = world.stores.tokens.add_key(new_key(id), newest).await;
    added.unwrap()
}

async fn key_ids(world: &World) -> Vec<String> {
    let keys = world.stores.tokens.keys().await.unwrap();
    keys.into_iter().map(|it| it.id).collect()
}

async fn revoke(world: &World, lasts: Duration) -> TokenId {
    let token = TokenId::new_v4();
    let expires_at = world.now().plus(lasts);
    world.stores.tokens.revoke(token, expires_at).await.unwrap();
    token
}

async fn revoked(world: &World, after: i64) -> Vec<TokenId> {
    let revocations = world.stores.tokens.revocations(after).await.unwrap();
    revocations.iter().map(|it| it.token).collect()
}

async fn a_key_is_read_as_it_was_added(world: World) {
    assert_eq!(key_ids(&world).await, [] as [&str; 0]);
    assert!(add(&world, "one", None).await);
    let mut new = new_key("two");
    new.algorithm = KeyAlgorithm::Es256;
    new.private = vec![0, 1, 255].into();
    let tokens = &world.stores.tokens;
    assert!(tokens.add_key(new, Some("one")).await.unwrap());
    let keys = tokens.keys().await.unwrap();
    let [one, two] = &keys[..] else {
        panic!("expected two keys")
    };
    assert_eq!(one.algorithm, KeyAlgorithm::EdDsa);
    assert_eq!(one.private.expose_secret(), b"the private key one");
    assert_eq!(two.algorithm, KeyAlgorithm::Es256);
    assert_eq!(two.private.expose_secret(), [0, 1, 255]);
    for key in &keys {
        assert_eq!(key.created_at, world.now());
        assert_eq!(key.active_from, world.now().plus(LEAD));
        assert!(!format!("{key:?}").contains("255"));
    }
}

async fn keys_come_the_oldest_first_and_without_the_expired(world: World) {
    assert!(add(&world, "z", None).await);
    assert!(add(&world, "a", Some("z")).await);
    world.advance(seconds(1));
    assert!(add(&world, "m", Some("a")).await);
    assert_eq!(key_ids(&world).await, ["z", "a", "m"]);
    world.advance(Duration::from_millis(1_098_999));
    assert_eq!(key_ids(&world).await, ["z", "a", "m"]);
    world.advance(Duration::from_millis(1));
    assert_eq!(key_ids(&world).await, ["a", "m"]);
    world.advance(seconds(1));
    assert_eq!(key_ids(&world).await, ["m"]);
    world.advance(seconds(1_000_000));
    assert_eq!(key_ids(&world).await, ["m"], "the newest does not expire");
}

async fn a_new_key_lets_the_others_expire_after_it_begins_to_sign(world: World) {
    assert!(add(&world, "one", None).await);
    world.advance(seconds(10));
    assert!(add(&world, "two", Some("one")).await);
    let keys = world.stores.tokens.keys().await.unwrap();
    assert_eq!(keys[0].expires_at, Some(world.now().plus(LEAD).plus(LAST)));
    assert_eq!(keys[1].expires_at, None);
}

async fn a_key_that_was_to_expire_earlier_still_does(world: World) {
    assert!(add(&world, "one", None).await);
    assert!(add(&world, "two", Some("one")).await);
    let earlier = world.now().plus(LEAD).plus(LAST);
    world.advance(seconds(10));
    assert!(add(&world, "three", Some("two")).await);
    let keys = world.stores.tokens.keys().await.unwrap();
    let expected = [Some(earlier), Some(earlier.plus(seconds(10))), None];
    assert_eq!(
        keys.iter().map(|it| it.expires_at).collect::<Vec<_>>(),
        expected
    );
    // A key that replaces all others at once ends them at once.
    let mut now = new_key("four");
    (now.active_in, now.others_last) = (Duration::ZERO, Duration::ZERO);
    let added = world.stores.tokens.add_key(now, Some("three")).await;
    assert!(added.unwrap());
    assert_eq!(key_ids(&world).await, ["four"]);
}

async fn a_key_that_is_overtaken_before_it_signs_is_dropped(world: World) {
    assert!(add(&world, "one", None).await);
    world.advance(LEAD);
    assert!(add(&world, "two", Some("one")).await);
    let mut soon = new_key("three");
    soon.active_in = LEAD / 2;
    let added = world.stores.tokens.add_key(soon, Some("two")).await;
    assert!(added.unwrap());
    assert_eq!(key_ids(&world).await, ["one", "three"]);
}

async fn a_key_is_added_only_after_the_newest_that_its_maker_knows(world: World) {
    assert!(!add(&world, "one", Some("zero")).await);
    assert!(add(&world, "one", None).await);
    assert!(!add(&world, "two", None).await);
    assert!(add(&world, "two", Some("one")).await);
    assert!(!add(&world, "three", Some("one")).await);
    let keys = world.stores.tokens.keys().await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[1].expires_at, None, "a rejected key causes no expiry");
}

async fn of_replicas_that_add_a_key_at_once_one_does(world: World) {
    let other = world.another().await;
    let mut newest: Option<String> = None;
    for round in 0..5 {
        let mut replicas = JoinSet::new();
        for n in 0..10 {
            let stores = if n % 2 == 0 { &world.stores } else { &other };
            let (tokens, newest) = (stores.tokens.clone(), newest.clone());
            let key = new_key(&format!("{round}-{n}"));
            replicas.spawn(async move { tokens.add_key(key, newest.as_deref()).await.unwrap() });
        }
        let added = replicas.join_all().await;
        assert_eq!(added.iter().filter(|it| **it).count(), 1);
        newest = key_ids(&world).await.pop();
    }
    assert_eq!(key_ids(&world).await.len(), 5);
}

async fn a_key_id_is_there_once(world: World) {
    assert!(add(&world, "one", None).await);
    let again = world
        .stores
        .tokens
        .add_key(new_key("one"), Some("one"))
        .await;
    assert!(matches!(again, Err(StoreError::Conflict)));
    let keys = world.stores.tokens.keys().await.unwrap();
    assert_eq!(
        keys[0].expires_at, None,
        "a failed addition causes no expiry"
    );
}

async fn revocations_come_in_their_order_after_a_place(world: World) {
    let other = world.another().await;
    let mut tokens = Vec::new();
    for _ in 0..20 {
        tokens.push(revoke(&world, seconds(600)).await);
    }
    assert_eq!(revoked(&world, 0).await, tokens);
    let all = other.tokens.revocations(0).await.unwrap();
    assert!(all.is_sorted_by(|a, b| a.sequence < b.sequence));
    assert!(
        all.iter()
            .all(|it| it.expires_at == world.now().plus(seconds(600)))
    );
    for (n, revocation) in all.iter().enumerate() {
        assert_eq!(revoked(&world, revocation.sequence).await, tokens[n + 1..]);
    }
}

async fn a_token_that_is_revoked_stays_so(world: World) {
    let token = revoke(&world, seconds(600)).await;
    let before = world.stores.tokens.revocations(0).await.unwrap();
    let sooner = world.now().plus(seconds(1));
    world.stores.tokens.revoke(token, sooner).await.unwrap();
    assert_eq!(world.stores.tokens.revocations(0).await.unwrap(), before);
}

async fn a_revocation_is_told_until_its_token_has_expired(world: World) {
    let short = revoke(&world, seconds(10)).await;
    let long = revoke(&world, seconds(20)).await;
    world.advance(Duration::from_millis(9_999));
    assert_eq!(revoked(&world, 0).await, [short, long]);
    world.advance(Duration::from_millis(1));
    assert_eq!(revoked(&world, 0).await, [long]);
    world.advance(seconds(10));
    assert!(revoked(&world, 0).await.is_empty());
}

async fn the_place_of_a_revocation_is_never_used_again(world: World) {
    let tokens = &world.stores.tokens;
    for _ in 0..3 {
        revoke(&world, seconds(1)).await;
    }
    let last = tokens.revocations(0).await.unwrap().pop().unwrap();
    world.advance(seconds(1));
    assert_eq!(tokens.prune(10).await.unwrap(), 3);
    let next = revoke(&world, seconds(1)).await;
    assert_eq!(revoked(&world, last.sequence).await, [next]);
}

async fn an_assertion_is_used_once(world: World) {
    let tokens = &world.stores.tokens;
    let soon = world.now().plus(seconds(10));
    assert!(tokens.use_assertion([1; 32], soon).await.unwrap());
    assert!(tokens.use_assertion([2; 32], soon).await.unwrap());
    assert!(!tokens.use_assertion([1; 32], soon).await.unwrap());
    world.advance(seconds(9));
    assert!(!tokens.use_assertion([1; 32], soon).await.unwrap());
    // It is stored at least until it expires.
    assert_eq!(tokens.prune(10).await.unwrap(), 0);
    assert!(!tokens.use_assertion([2; 32], soon).await.unwrap());
}

async fn of_many_uses_of_an_assertion_at_once_one_counts(world: World) {
    let other = world.another().await;
    let soon = world.now().plus(seconds(10));
    let mut uses = JoinSet::new();
    for n in 0..50 {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        let tokens = stores.tokens.clone();
        uses.spawn(async move { tokens.use_assertion([7; 32], soon).await.unwrap() });
    }
    let first = uses.join_all().await;
    assert_eq!(first.iter().filter(|it| **it).count(), 1);
}

async fn no_more_than_asked_is_removed_of_what_has_expired(world: World) {
    let tokens = &world.stores.tokens;
    let soon = world.now().plus(seconds(10));
    for n in 0..5 {
        revoke(&world, seconds(10)).await;
        assert!(tokens.use_assertion([n; 32], soon).await.unwrap());
    }
    let left = revoke(&world, LEAD + LAST + seconds(1)).await;
    let later = world.now().plus(LEAD + LAST + seconds(1));
    assert!(tokens.use_assertion([9; 32], later).await.unwrap());
    for (id, newest) in [
        ("a", None),
        ("b", Some("a")),
        ("c", Some("b")),
        ("d", Some("c")),
    ] {
        assert!(add(&world, id, newest).await);
    }
    assert_eq!(tokens.prune(9).await.unwrap(), 0);
    world.advance(seconds(10));
    // Entries of revocations and of assertions.
    for expected in [4, 4, 2, 0] {
        assert_eq!(tokens.prune(2).await.unwrap(), expected);
    }
    world.advance(seconds(1_090));
    assert_eq!(tokens.prune(2).await.unwrap(), 2);
    assert_eq!(tokens.prune(2).await.unwrap(), 1);
    assert_eq!(tokens.prune(2).await.unwrap(), 0);
    assert_eq!(key_ids(&world).await, ["d"]);
    assert_eq!(revoked(&world, 0).await, [left]);
    assert!(!tokens.use_assertion([9; 32], later).await.unwrap());
    assert!(tokens.use_assertion([0; 32], later).await.unwrap());
}

/// Returns whether the revision has risen since `last`, and sets `last` to it.
async fn rose(world: &World, last: &mut Revision) -> bool {
    let before = std::mem::replace(last, revision(world).await);
    *last > before
}

async fn the_revision_rises_with_keys_and_revocations_only(world: World) {
    let tokens = &world.stores.tokens;
    let mut last = revision(&world).await;
    let soon = world.now().plus(seconds(10));
    assert!(add(&world, "one", None).await);
    assert!(rose(&world, &mut last).await);
    assert!(!add(&world, "two", None).await);
    assert!(!rose(&world, &mut last).await);
    let token = revoke(&world, seconds(10)).await;
    assert!(rose(&world, &mut last).await);
    tokens.revoke(token, soon).await.unwrap();
    assert!(tokens.use_assertion([1; 32], soon).await.unwrap());
    tokens.keys().await.unwrap();
    tokens.revocations(0).await.unwrap();
    world.advance(seconds(10));
    assert_eq!(tokens.prune(10).await.unwrap(), 2);
    assert!(!rose(&world, &mut last).await);
}

async fn tokens_survive_a_restart(world: World) {
    assert!(add(&world, "one", None).await);
    let token = revoke(&world, seconds(10)).await;
    let soon = world.now().plus(seconds(10));
    assert!(
        world
            .stores
            .tokens
            .use_assertion([1; 32], soon)
            .await
            .unwrap()
    );
    world.stores.close().await;
    let reopened = world.another().await.tokens;
    assert_eq!(reopened.keys().await.unwrap()[0].id, "one");
    assert_eq!(reopened.revocations(0).await.unwrap()[0].token, token);
    assert!(!reopened.use_assertion([1; 32], soon).await.unwrap());
}

async fn what_is_closed_is_unavailable(world: World) {
    let (tokens, soon) = (&world.stores.tokens, world.now());
    world.stores.close().await;
    let errors = [
        tokens.keys().await.err(),
        tokens.add_key(new_key("one"), None).await.err(),
        tokens.revoke(TokenId::nil(), soon).await.err(),
        tokens.revocations(0).await.err(),
        tokens.use_assertion([1; 32], soon).await.err(),
        tokens.prune(1).await.err(),
    ];
    for error in errors {
        assert!(matches!(error, Some(StoreError::Unavailable(_))));
    }
}
