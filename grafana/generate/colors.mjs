// One colour for each value of a label, the same on all boards.

/** Colours by role, lowest first. */
export const ROLES = {
  user: "blue",
  contributor: "green",
  admin: "orange",
  superuser: "purple",
};

/** Colours by outcome of a login. */
export const STATUSES = {
  success: "green",
  failure: "red",
};

/** Colours by reason of a failed login. Shades of red are faults of the service. */
export const FAILURES = {
  invalid_credentials: "yellow",
  account_locked: "orange",
  account_disabled: "light-blue",
  rate_limited: "purple",
  banned: "dark-purple",
  cross_site: "blue",
  store_unavailable: "red",
  internal_error: "dark-red",
  cancelled: "text",
};

/**
 * Results of a token check other than valid, which are also reasons of failed authentications: the same word has the
 * same colour.
 */
const INVALID = {
  unknown_service: "light-orange",
  disabled: "light-blue",
  bad_signature: "orange",
  expired_token: "blue",
  revoked_token: "dark-purple",
  wrong_audience: "light-purple",
  malformed: "dark-orange",
  store_unavailable: "red",
  internal_error: "dark-red",
};

/** Colours by result of a token check. */
export const TOKENS = { valid: "green", ...INVALID };

/** Colours by reason of a failed service authentication. */
export const REFUSALS = {
  ...INVALID,
  bad_secret: "yellow",
  expired_credential: "dark-yellow",
  rate_limited: "purple",
  cancelled: "text",
};

/** Colours by operation of a service authentication. */
export const OPERATIONS = {
  token_issue: "green",
  token_verification: "blue",
  introspection: "yellow",
  revocation: "purple",
  limit_check: "orange",
};

/** Colours by health of a service. */
export const HEALTHS = {
  healthy: "green",
  degraded: "yellow",
  stale: "red",
  disabled: "text",
};

/** Colours by policy for a request whose limit cannot be checked. */
export const POLICIES = {
  closed: "orange",
  open: "red",
};

/** Colours by event of a registration. */
export const REGISTRATIONS = {
  registered: "green",
  deleted: "orange",
};

/** Colours by result of a rotation. */
export const ROTATIONS = {
  success: "blue",
  refused: "red",
};

/** Colours by reason of the end of a session. */
export const ENDS = {
  logout: "green",
  idle: "blue",
  absolute: "light-blue",
  revoked: "red",
  evicted: "orange",
  role_changed: "purple",
  lost: "dark-red",
};

/** Colours by result of a password check. */
export const CHECKS = {
  match: "green",
  mismatch: "yellow",
  overloaded: "red",
};

/** Colours by HTTP status. */
export const ANSWERS = {
  200: "green",
  201: "light-green",
  204: "dark-green",
  400: "light-blue",
  401: "yellow",
  403: "blue",
  404: "light-purple",
  409: "purple",
  429: "orange",
  500: "dark-red",
  503: "red",
};

/** Colours by store. */
export const STORES = {
  accounts: "blue",
  sessions: "green",
  limits: "orange",
  audit: "purple",
  services: "light-blue",
  tokens: "yellow",
  quotas: "light-orange",
};

/** Colours by quantile. */
export const QUANTILES = {
  p50: "green",
  p90: "yellow",
  p95: "yellow",
  p99: "orange",
};
