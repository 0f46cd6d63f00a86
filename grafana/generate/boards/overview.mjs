// Is login healthy now?

import { ANSWERS, ROLES, STATUSES } from "../colors.mjs";
import { board, row } from "../board.mjs";
import { AVAILABILITY, FAST_ENOUGH, FAST_SECONDS, OUR_FAULTS } from "../objectives.mjs";
import { COUNT, MULTIPLE, PER_MINUTE, PER_SECOND, RATIO, SECONDS, gauge, lines, stat } from "../panels.mjs";
import { FIRING, increase, now, once, onceBy, over, own, quantile, rate, share, shared, sum, sumBy } from "../queries.mjs";

const LOGINS = "skriptoteket_logins_total";
const DURATION = "skriptoteket_login_duration_seconds";
const success = own(LOGINS, 'status="success"');
const failure = own(LOGINS, 'status="failure"');
const attempts = sum(rate(own(LOGINS), "5m"));

const sessionsNow = stat({
  id: 1,
  title: "Sessions now",
  text: "Live sessions now. Empty while the session store does not respond.",
  unit: COUNT,
  none: "Unknown",
  width: 4,
  decimals: 0,
  queries: [now(once(shared("skriptoteket_active_sessions")), "sessions")],
});

const loginsPerMinute = stat({
  id: 2,
  title: "Logins per minute",
  text: "Successful logins per minute, over the last five minutes.",
  unit: PER_MINUTE,
  none: "No data",
  width: 4,
  decimals: 1,
  color: "green",
  queries: [now(`${sum(rate(success, "5m"))} * 60`, "logins")],
});

const failedInRange = stat({
  id: 3,
  title: "Failed logins in range",
  text: "Failed login attempts within the time range of the board. The board Logins and attacks shows the reasons.",
  unit: COUNT,
  none: "No data",
  width: 4,
  decimals: 0,
  color: "orange",
  queries: [now(sum(increase(failure)), "failed")],
});

const slowest = stat({
  id: 4,
  title: "Login p95",
  text: "95 % of the login attempts of the last five minutes took at most this long.",
  unit: SECONDS,
  none: "No logins",
  width: 4,
  decimals: 0,
  steps: [
    [null, "green"],
    [0.5, "yellow"],
    [1, "red"],
  ],
  queries: [now(quantile(0.95, own(`${DURATION}_bucket`), "5m"), "p95")],
});

const replicas = stat({
  id: 5,
  title: "Replicas",
  text: "Processes of the service whose metrics arrive.",
  unit: COUNT,
  none: "None",
  width: 4,
  decimals: 0,
  steps: [
    [null, "red"],
    [1, "green"],
  ],
  queries: [now(`count(${own("skriptoteket_session_census_up")})`, "replicas")],
});

// Watchdog always fires. If it does not, no rule is evaluated, and a green 0 would be wrong.
const alerts = stat({
  id: 6,
  title: "Alerts firing",
  text: "Alerts of this service that are firing. Empty if Prometheus does not evaluate its rules.",
  unit: COUNT,
  none: "No rules",
  width: 4,
  decimals: 0,
  steps: [
    [null, "green"],
    [1, "red"],
  ],
  queries: [
    now(
      `count(${FIRING}) or 0 * max(ALERTS{alertstate="firing",service="skriptoteket",alertname="Watchdog"})`,
      "firing",
    ),
  ],
});

const activeSessions = lines({
  id: 7,
  title: "Active Sessions",
  text: "Live sessions over time, counted by the session store. A gap means that the store did not respond.",
  unit: COUNT,
  none: "Unknown: the session store does not respond",
  width: 12,
  decimals: 0,
  colors: { sessions: "blue" },
  queries: [over(once(shared("skriptoteket_active_sessions")), "sessions")],
});

const loginRate = lines({
  id: 8,
  title: "Login Rate",
  text: "Login attempts per second by outcome, over five minutes.",
  unit: PER_SECOND,
  none: "No data",
  width: 12,
  colors: STATUSES,
  queries: [over(sumBy("status", rate(own(LOGINS), "5m")), "{{status}}")],
});

const successRate = gauge({
  id: 9,
  title: "Login Success Rate",
  text: "Share of the login attempts of the last five minutes that succeeded. Users mistype: 80 to 95 % is usual. A low share means guesses, or a fault of the service.",
  unit: RATIO,
  none: "No logins",
  width: 6,
  decimals: 1,
  steps: [
    [null, "red"],
    [0.5, "yellow"],
    [0.8, "green"],
  ],
  queries: [now(share(sum(rate(success, "5m")), attempts), "success")],
});

const usersByRole = lines({
  id: 10,
  title: "Users by Role",
  text: "Distinct users with a live session, by role. A user with three sessions counts once.",
  unit: COUNT,
  none: "Unknown: the session store does not respond",
  width: 18,
  decimals: 0,
  stacked: true,
  colors: ROLES,
  queries: [over(onceBy("role", shared("skriptoteket_users_by_role")), "{{role}}")],
});

const latency = lines({
  id: 11,
  title: "Login latency",
  text: "Duration of login attempts, over five minutes. A password check takes about 25 ms of processor time, on purpose.",
  unit: SECONDS,
  none: "No logins",
  width: 12,
  colors: { p50: "green", p95: "yellow", p99: "orange" },
  queries: [0.5, 0.95, 0.99].map((q) =>
    over(quantile(q, own(`${DURATION}_bucket`), "5m"), `p${Math.round(q * 100)}`),
  ),
});

const fast = sum(rate(own(`${DURATION}_bucket`, 'status="success"', `le="${FAST_SECONDS}"`), "1h"));
const succeeded = sum(rate(own(`${DURATION}_count`, 'status="success"'), "1h"));
const faults = sum(rate(own("skriptoteket_login_failures_total", `reason=~"${OUR_FAULTS}"`), "1h"));

const burn = lines({
  id: 12,
  title: "Error-budget burn",
  text: `How fast the last hour used the error budgets. At 1, a budget lasts exactly its period; at 14.4, the budget of a month lasts two days. Availability: ${AVAILABILITY * 100} % of login attempts do not fail because of the service. Latency: ${FAST_ENOUGH * 100} % of successful logins take at most ${FAST_SECONDS} s.`,
  unit: MULTIPLE,
  none: "No logins",
  width: 12,
  colors: { availability: "red", latency: "orange" },
  limits: [
    [null, "transparent"],
    [1, "yellow"],
    [14.4, "red"],
  ],
  softTop: 16,
  queries: [
    over(`(${share(faults, sum(rate(own(LOGINS), "1h")))}) / ${budget(AVAILABILITY)}`, "availability"),
    over(`clamp_min(1 - (${share(fast, succeeded)}), 0) / ${budget(FAST_ENOUGH)}`, "latency"),
  ],
});

const REQUESTS = "http_server_request_duration_seconds";

const requests = lines({
  id: 13,
  title: "Requests by status",
  text: "HTTP requests per second by status, of all routes, over five minutes.",
  unit: PER_SECOND,
  none: "No requests",
  width: 8,
  colors: ANSWERS,
  queries: [
    over(
      sumBy("http_response_status_code", rate(own(`${REQUESTS}_count`), "5m")),
      "{{http_response_status_code}}",
    ),
  ],
});

const everyday = 'http_route=~"/api/login|/api/logout|/api/session"';

const requestLatency = lines({
  id: 14,
  title: "Request p95 by route",
  text: "95 % of requests took at most this long, by route, over five minutes: the routes that every logged-in user needs.",
  unit: SECONDS,
  none: "No requests",
  width: 8,
  queries: [
    over(quantile(0.95, own(`${REQUESTS}_bucket`, everyday), "5m", "http_route, le"), "{{http_route}}"),
  ],
});

const inFlight = lines({
  id: 15,
  title: "Requests in flight",
  text: "HTTP requests in progress, by replica, at the time of each sample.",
  unit: COUNT,
  none: "No data",
  width: 8,
  decimals: 0,
  softTop: 1,
  queries: [over(sumBy("instance", own("http_server_active_requests")), "{{instance}}")],
});

function budget(objective) {
  return Number((1 - objective).toFixed(6));
}

export const overview = board({
  name: "overview",
  title: "Skriptoteket: Overview",
  question: "Is login healthy right now?",
  rows: [
    row(4, sessionsNow, loginsPerMinute, failedInRange, slowest, replicas, alerts),
    row(8, activeSessions, loginRate),
    row(8, successRate, usersByRole),
    row(8, latency, burn),
    row(7, requests, requestLatency, inFlight),
  ],
});
