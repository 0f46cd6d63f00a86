// One colour for each value of a label, the same on every board.

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

/** Colours by reason of a failed login: shades of red are the service's own faults. */
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

/** Colours by reason why a session ended. */
export const ENDS = {
  logout: "green",
  idle: "blue",
  absolute: "light-blue",
  revoked: "red",
  evicted: "orange",
  role_changed: "purple",
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
};

/** Colours by quantile. */
export const QUANTILES = {
  p50: "green",
  p90: "yellow",
  p95: "yellow",
  p99: "orange",
};
