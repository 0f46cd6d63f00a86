//! The patterns of an application's routes, as label values.

use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

use actix_web::HttpRequest;

/// Maximum number of patterns. An application declares its routes in its source, so it has fewer; further ones have no
/// label.
const MOST: usize = 1_000;

/// The patterns that have been seen. They are never freed: a label value lives as long as the process.
static KNOWN: LazyLock<RwLock<HashMap<String, &'static str>>> = LazyLock::new(RwLock::default);

/// Returns the pattern of the matched route, or `None` if none matched.
///
/// Costs a look-up and a text for each request. Routes of this crate record their pattern with
/// [`matched`](super::matched) instead.
pub(super) fn of(request: &HttpRequest) -> Option<&'static str> {
    let pattern = request.match_pattern()?;
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(&pattern) {
        return Some(known);
    }
    drop(known);
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= MOST {
        return None;
    }
    let kept = *known
        .entry(pattern.clone())
        .or_insert_with(|| Box::leak(pattern.into_boxed_str()));
    Some(kept)
}
