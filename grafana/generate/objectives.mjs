// What the service promises; the error budgets are what these leave. The alerts on budgets take the same numbers.

/** The share of login attempts that must not fail by a fault of ours. A wrong password is no fault of ours. */
export const AVAILABILITY = 0.999;

/** The share of successful logins that must be fast. */
export const FAST_ENOUGH = 0.99;

/** What is fast, in seconds: a bound of the histogram's buckets. */
export const FAST_SECONDS = "0.5";

/** Reasons of failed logins that are faults of ours. */
export const OUR_FAULTS = "store_unavailable|internal_error";

/** Reasons of failed logins where the guard or the origin check refused before the password was looked at. */
export const REFUSED = "account_locked|rate_limited|banned|cross_site";
