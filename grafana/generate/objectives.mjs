// Service level objectives. They define the error budgets, and the alerts on budgets use the same numbers.

/** The share of login attempts that must not fail by a fault of the service. A wrong password is no such fault. */
export const AVAILABILITY = 0.999;

/** The share of successful logins that must be fast. */
export const FAST_ENOUGH = 0.99;

/** The maximum duration of a fast login, in seconds: a bound of the histogram's buckets. */
export const FAST_SECONDS = "0.5";

/** Reasons of failed logins that are faults of the service. */
export const OUR_FAULTS = "store_unavailable|internal_error";

/** Reasons of failed logins that the guard or the origin check rejected before the password check. */
export const REFUSED = "account_locked|rate_limited|banned|cross_site";
