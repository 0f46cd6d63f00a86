// Which services send requests, are they authenticated, and which will soon be locked out?

import { HEALTHS, OPERATIONS, POLICIES, REFUSALS, REGISTRATIONS, ROTATIONS, TOKENS } from "../colors.mjs";
import { board, row } from "../board.mjs";
import { COUNT, DAYS, MULTIPLE, PER_SECOND, RATIO, SECONDS, bars, lines, stat, table } from "../panels.mjs";
import {
  PICKED,
  cells,
  increase,
  max,
  maxBy,
  now,
  once,
  onceBy,
  over,
  own,
  quantile,
  rate,
  share,
  shared,
  sum,
  sumBy,
  ten,
  total,
  whole,
} from "../queries.mjs";

const SUCCESSFUL = own("skriptoteket_successful_auths_total", PICKED);
const FAILED = own("skriptoteket_failed_auths_total", PICKED);
const VERIFIED = "skriptoteket_token_verifications_total";
const EXCEEDED = own("skriptoteket_rate_limit_exceeded_total", PICKED);
const RETIRED = own("skriptoteket_retired_credential_uses_total", PICKED);
const BY_HEALTH = "skriptoteket_services_by_health";

const DAY = 86_400;
const KEY_DAYS = `${max(shared("skriptoteket_signing_key_age_seconds"))} / ${DAY}`;

/** The observer of the register exports nothing while its store does not respond. */
const UNKNOWN = "Unknown";
const UNANSWERED = "Unknown: the store does not answer";
const NOBODY = "No authentications";

/** The colour of unregistered services, on every panel. */
const OTHER = { _other: "text" };

/** The share of authentications that succeeded. */
const ratio = share(
  sum(rate(SUCCESSFUL, "5m")),
  `(${sum(rate(SUCCESSFUL, "5m"))} or vector(0)) + (${sum(rate(FAILED, "5m"))} or vector(0))`,
);

/** Events per second by service, for the ten with the most events in the time range. */
const busiest = (selector) =>
  ten("service_id", sumBy("service_id", rate(selector, "5m")), sumBy("service_id", whole("increase", selector)));

const active = stat({
  id: 1,
  title: "Active services",
  text: "Registered services that are healthy or degraded: they were active recently.",
  unit: COUNT,
  none: UNKNOWN,
  width: 4,
  decimals: 0,
  queries: [now(once(shared("skriptoteket_active_services")), "services")],
});

const stale = stat({
  id: 2,
  title: "Stale services",
  text: "Registered services that have been inactive for longer than service_stale_after. The panel Health of each service lists them.",
  unit: COUNT,
  none: UNKNOWN,
  width: 4,
  decimals: 0,
  steps: [
    [null, "green"],
    [1, "red"],
  ],
  queries: [now(once(shared(BY_HEALTH, 'health="stale"')), "stale")],
});

const letIn = stat({
  id: 3,
  title: "Success ratio",
  text: "Share of the authentications of the last five minutes that succeeded. Services do not mistype: it should be near 100 %.",
  unit: RATIO,
  none: NOBODY,
  width: 4,
  decimals: 1,
  steps: [
    [null, "red"],
    [0.9, "yellow"],
    [0.99, "green"],
  ],
  queries: [now(ratio, "success")],
});

const refused = stat({
  id: 4,
  title: "Rejected by limits in range",
  text: "Requests rejected by a limit of their service within the time range of the board.",
  unit: COUNT,
  none: "No data",
  width: 4,
  decimals: 0,
  steps: [
    [null, "green"],
    [0.5, "orange"],
  ],
  queries: [now(sum(increase(EXCEEDED)), "rejected")],
});

const retired = stat({
  id: 5,
  title: "Retired credentials used",
  text: "Authentications within the time range of the board with a secret that a rotation has replaced. Clients that still use it cannot authenticate once the overlap ends.",
  unit: COUNT,
  none: "No data",
  width: 4,
  decimals: 0,
  steps: [
    [null, "green"],
    [0.5, "orange"],
  ],
  queries: [now(sum(increase(RETIRED)), "uses")],
});

const keyAge = stat({
  id: 6,
  title: "Signing key age",
  text: "Age of the key that signs tokens. Much more than signing_key_rotation means that keys do not rotate.",
  unit: DAYS,
  none: UNKNOWN,
  width: 4,
  decimals: 1,
  queries: [now(KEY_DAYS, "age")],
});

const successes = lines({
  id: 7,
  title: "Authentications by service",
  text: "Authentications per second that succeeded, by service, over five minutes; the ten services with the most in the time range.",
  unit: PER_SECOND,
  none: NOBODY,
  width: 12,
  colors: OTHER,
  queries: [over(busiest(SUCCESSFUL), "{{service_id}}")],
});

const failuresByReason = lines({
  id: 8,
  title: "Failures by reason",
  text: "Authentications per second that failed, by reason, over five minutes. Shades of red are faults of the service.",
  unit: PER_SECOND,
  none: "No data",
  width: 12,
  stacked: true,
  colors: REFUSALS,
  queries: [over(sumBy("reason", rate(FAILED, "5m")), "{{reason}}")],
});

const failuresByService = lines({
  id: 9,
  title: "Failures by service",
  text: "Authentications per second that failed, by service, over five minutes; the ten with the most in the time range. _other: clients that are not registered.",
  unit: PER_SECOND,
  none: "No data",
  width: 8,
  softTop: 0.1,
  colors: OTHER,
  queries: [over(busiest(FAILED), "{{service_id}}")],
});

const registered = 'service_id!="_other"';
const succeededBy = sumBy("service_id", rate(own("skriptoteket_successful_auths_total", PICKED, registered), "5m"));
const failed = own("skriptoteket_failed_auths_total", PICKED, registered);
const triedBy = `${succeededBy} + ${sumBy("service_id", rate(failed, "5m"))}`;

// A replica creates all series of a service when it first learns of it, so neither side lacks one.
const ratioByService = lines({
  id: 10,
  title: "Success ratio by service",
  text: "Share of a service's authentications that succeeded, over five minutes; the ten services with the most failures in the time range. A gap: it did not authenticate.",
  unit: RATIO,
  none: NOBODY,
  width: 8,
  top: 1,
  queries: [
    over(
      ten("service_id", `${succeededBy} / (${triedBy} > 0)`, sumBy("service_id", whole("increase", failed))),
      "{{service_id}}",
    ),
  ],
});

const latency = lines({
  id: 11,
  title: "Authentication p95",
  text: "95 % of authentications took at most this long, by operation, over five minutes.",
  unit: SECONDS,
  none: NOBODY,
  width: 8,
  colors: OPERATIONS,
  queries: [
    over(quantile(0.95, own("skriptoteket_auth_latency_seconds_bucket", PICKED), "5m", "operation, le"), "{{operation}}"),
  ],
});

const verifications = lines({
  id: 12,
  title: "Token verifications",
  text: "Access tokens checked per second, by result, over five minutes.",
  unit: PER_SECOND,
  none: "No data",
  width: 12,
  stacked: true,
  colors: TOKENS,
  queries: [over(sumBy("status", rate(own(VERIFIED, PICKED), "5m")), "{{status}}")],
});

const invalid = lines({
  id: 13,
  title: "Tokens rejected",
  text: "Access tokens per second that were not valid, by result, over five minutes. Some expired tokens are usual. A service in order sends no bad signatures, wrong audiences or malformed tokens.",
  unit: PER_SECOND,
  none: "No data",
  width: 12,
  softTop: 0.1,
  colors: TOKENS,
  queries: [over(sumBy("status", rate(own(VERIFIED, PICKED, 'status!="valid"'), "5m")), "{{status}}")],
});

const LIMIT = "service_id, limit_type";

/**
 * The share of its limits that a service uses; `at` selects the time. Each replica exports its last known value: the
 * maximum is right.
 */
const use = (at) =>
  `${maxBy(LIMIT, at(own("skriptoteket_rate_limit_current", PICKED)))} / (${maxBy(LIMIT, at(own("skriptoteket_rate_limit_allowed", PICKED)))} > 0)`;

const limitUse = lines({
  id: 14,
  title: "Use of limits",
  text: "Share of its burst (requests) and of its daily quota (daily_quota) that a service has used; the ten that came closest to a limit in the time range.",
  unit: RATIO,
  none: "No service was active",
  width: 8,
  softTop: 1,
  limits: [
    [null, "transparent"],
    [0.8, "orange"],
    [1, "red"],
  ],
  queries: [
    over(ten(LIMIT, use((it) => it), use((it) => whole("max_over_time", it))), "{{service_id}} {{limit_type}}"),
  ],
});

const rejections = lines({
  id: 15,
  title: "Rejected by limits",
  text: "Requests per second rejected by a limit, by service and limit, over five minutes; the ten with the most in the time range.",
  unit: PER_SECOND,
  none: "No data",
  width: 8,
  softTop: 0.1,
  queries: [
    over(
      ten(LIMIT, sumBy(LIMIT, rate(EXCEEDED, "5m")), sumBy(LIMIT, whole("increase", EXCEEDED))),
      "{{service_id}} {{limit_type}}",
    ),
  ],
});

const unchecked = lines({
  id: 16,
  title: "Limits that could not be checked",
  text: "Requests per second of all services whose limits the store could not check, over five minutes. closed: they were rejected; open: they were allowed. Should be 0.",
  unit: PER_SECOND,
  none: "No data",
  width: 8,
  softTop: 0.1,
  colors: POLICIES,
  queries: [over(sumBy("policy", rate(own("skriptoteket_rate_limit_failures_total"), "5m")), "{{policy}}")],
});

const byHealth = lines({
  id: 17,
  title: "Services by health",
  text: "All registered services, by health. A gap means that the store did not respond.",
  unit: COUNT,
  none: UNANSWERED,
  width: 8,
  decimals: 0,
  stacked: true,
  colors: HEALTHS,
  queries: [over(onceBy("health", shared(BY_HEALTH)), "{{health}}")],
});

const healthOf = (health) => maxBy("service_id", shared("skriptoteket_service_health", PICKED, `health="${health}"`));

/** The sort order of the table: the worst state has the highest number. */
const RANKS = ["disabled", "healthy", "degraded", "stale"];

const healthTable = table({
  id: 18,
  title: "Health of each service",
  text: "Health of each service, stale ones first. Stale: no activity since service_stale_after.",
  unit: COUNT,
  none: "No service, or the store does not respond",
  width: 8,
  columns: { service_id: "Service" },
  value: "Health",
  words: Object.fromEntries(RANKS.map((health, rank) => [rank, [health, HEALTHS[health]]])),
  queries: [cells(`${healthOf("healthy")} + 2 * ${healthOf("degraded")} + 3 * ${healthOf("stale")}`)],
});

const expiry = bars({
  id: 19,
  title: "Days to credential expiry",
  text: "Whole days until the last credential of a service expires; below 0 it has expired and the service cannot authenticate. The ten that expire first; a bar is full at 90 days.",
  unit: DAYS,
  none: "No credential expires, or the store does not respond",
  width: 8,
  decimals: 0,
  top: 90,
  steps: [
    [null, "red"],
    [3, "orange"],
    [14, "yellow"],
    [30, "green"],
  ],
  queries: [
    now(
      `sort(bottomk(10, floor(${maxBy("service_id", shared("skriptoteket_credential_expiry_seconds", PICKED))} / ${DAY})))`,
      "{{service_id}}",
    ),
  ],
});

const retiredByService = lines({
  id: 20,
  title: "Services that use retired credentials",
  text: "Authentications per second with a secret that a rotation has replaced, by service, over five minutes; the ten with the most in the time range.",
  unit: PER_SECOND,
  none: "No data",
  width: 8,
  softTop: 0.1,
  colors: OTHER,
  queries: [over(busiest(RETIRED), "{{service_id}}")],
});

const hourly = (label, name) => sumBy(label, increase(total(name), "1h"));

const changes = lines({
  id: 21,
  title: "Changes of the service register",
  text: "Services registered and deleted, and rotations of credentials, within the last hour. A rotation is rejected while the previous credential is still accepted.",
  unit: COUNT,
  none: "Unknown: no rules are evaluated, or the store does not respond",
  width: 8,
  decimals: 0,
  softTop: 1,
  colors: {
    ...REGISTRATIONS,
    ...Object.fromEntries(Object.entries(ROTATIONS).map(([result, color]) => [`rotation: ${result}`, color])),
  },
  queries: [
    over(hourly("event", "service_registrations"), "{{event}}"),
    over(hourly("result", "credential_rotations"), "rotation: {{result}}"),
  ],
});

const keys = lines({
  id: 22,
  title: "Signing key age over time",
  text: "Days since the key that signs tokens came into use. It grows, and falls to 0 when the next key begins to sign.",
  unit: MULTIPLE,
  none: UNANSWERED,
  width: 8,
  colors: { days: "blue" },
  queries: [over(KEY_DAYS, "days")],
});

export const services = board({
  name: "services",
  title: "Skriptoteket: Services and tokens",
  question: "Which services authenticate, which are rejected, and what will expire soon?",
  services: true,
  rows: [
    row(4, active, stale, letIn, refused, retired, keyAge),
    row(9, successes, failuresByReason),
    row(8, failuresByService, ratioByService, latency),
    row(8, verifications, invalid),
    row(8, limitUse, rejections, unchecked),
    row(8, byHealth, healthTable, expiry),
    row(7, retiredByService, changes, keys),
  ],
});
