// How many sessions, by which role, and for how long?

import { ENDS, QUANTILES, ROLES } from "../colors.mjs";
import { board, row } from "../board.mjs";
import { COUNT, PER_MINUTE, SECONDS, heatmap, lines, stat } from "../panels.mjs";
import { buckets, increase, now, once, onceBy, over, own, quantile, rate, shared, sum, sumBy, total } from "../queries.mjs";

const ACTIVE = "skriptoteket_active_sessions";
const BY_ROLE = "skriptoteket_sessions_by_role";
const STARTED = "skriptoteket_sessions_started_total";
const ENDED = "skriptoteket_sessions_ended_total";
const DURATION = "skriptoteket_session_duration_seconds_bucket";

const UNKNOWN = "Unknown: the session store does not respond";
/** The text without data for totals that rules record. */
const UNRECORDED = "Unknown: no rules are evaluated, or the session store does not respond";
const users = sum(onceBy("role", shared("skriptoteket_users_by_role")));

const sessionsNow = stat({
  id: 1,
  title: "Sessions now",
  text: "Live sessions now.",
  unit: COUNT,
  none: "Unknown",
  width: 4,
  decimals: 0,
  queries: [now(once(shared(ACTIVE)), "sessions")],
});

const usersNow = stat({
  id: 2,
  title: "Users now",
  text: "Distinct users with a live session.",
  unit: COUNT,
  none: "Unknown",
  width: 4,
  decimals: 0,
  queries: [now(users, "users")],
});

const perUser = stat({
  id: 3,
  title: "Sessions per user",
  text: "Average number of live sessions of a user. Far more than the devices of a user suggests that a client collects sessions.",
  unit: COUNT,
  none: "No users",
  width: 4,
  decimals: 2,
  queries: [now(`${once(shared(ACTIVE))} / (${users} > 0)`, "per person")],
});

const startedInRange = stat({
  id: 4,
  title: "Started in range",
  text: "Sessions that started within the time range of the board.",
  unit: COUNT,
  none: "Unknown",
  width: 4,
  decimals: 0,
  color: "green",
  queries: [now(sum(increase(total("sessions_started"))), "started")],
});

const endedInRange = stat({
  id: 5,
  title: "Ended in range",
  text: "Sessions that ended within the time range of the board, for any reason.",
  unit: COUNT,
  none: "Unknown",
  width: 4,
  decimals: 0,
  color: "orange",
  queries: [now(sum(increase(total("sessions_ended"))), "ended")],
});

const median = stat({
  id: 6,
  title: "Median length in range",
  text: "Half of the sessions that ended within the time range of the board lasted at most this long.",
  unit: SECONDS,
  none: "None ended",
  width: 4,
  decimals: 1,
  queries: [now(quantile(0.5, own(DURATION), "$__range"), "median")],
});

const byRole = lines({
  id: 7,
  title: "Sessions by role",
  text: "Live sessions by the role of their user. A role without sessions is 0.",
  unit: COUNT,
  none: UNKNOWN,
  width: 12,
  decimals: 0,
  stacked: true,
  colors: ROLES,
  queries: [over(onceBy("role", shared(BY_ROLE)), "{{role}}")],
});

const ends = lines({
  id: 8,
  title: "Ends by reason",
  text: "Sessions that ended per minute, by reason, over five minutes. lost: the session store no longer has them, although they did not end.",
  unit: PER_MINUTE,
  none: UNRECORDED,
  width: 12,
  stacked: true,
  colors: ENDS,
  queries: [over(`${sumBy("reason", rate(total("sessions_ended"), "5m"))} * 60`, "{{reason}}")],
});

const lengths = heatmap({
  id: 9,
  title: "Session length",
  text: "Duration of the sessions that ended: the stronger the colour, the more sessions.",
  unit: SECONDS,
  none: "None ended",
  width: 12,
  queries: [buckets(sumBy("le", increase(own(DURATION), "$__rate_interval")))],
});

const quantiles = lines({
  id: 10,
  title: "Session length, quantiles",
  text: "Duration of the sessions that ended within the last 30 minutes: 50, 90 and 99 % of them lasted at most this long.",
  unit: SECONDS,
  none: "None ended",
  width: 12,
  colors: { p50: QUANTILES.p50, p90: QUANTILES.p90, p99: QUANTILES.p99 },
  queries: [0.5, 0.9, 0.99].map((q) => over(quantile(q, own(DURATION), "30m"), `p${Math.round(q * 100)}`)),
});

const starts = lines({
  id: 11,
  title: "Starts by role",
  text: "Sessions that started per minute, by role, over five minutes.",
  unit: PER_MINUTE,
  none: UNRECORDED,
  width: 8,
  stacked: true,
  colors: ROLES,
  queries: [over(`${sumBy("role", rate(total("sessions_started"), "5m"))} * 60`, "{{role}}")],
});

const balance = lines({
  id: 12,
  title: "Started less ended, against active",
  text: "Live sessions counted in two ways: from the totals of the store, and from its index. They differ briefly by the sessions that have expired and are not yet removed. A lasting difference is a fault: lost sessions are counted as ended, too.",
  unit: COUNT,
  none: UNKNOWN,
  width: 8,
  decimals: 0,
  colors: { active: "blue", "started less ended": "orange" },
  dashed: ["started less ended"],
  queries: [
    over(once(shared(ACTIVE)), "active"),
    over(
      `${sum(onceBy("role", shared(STARTED)))} - ${sum(onceBy("role, reason", shared(ENDED)))}`,
      "started less ended",
    ),
  ],
});

const disagreement = lines({
  id: 13,
  title: "Replica disagreement",
  text: "Highest count of live sessions minus the lowest, by role, where several replicas report one. They read the same store, so a difference should be brief.",
  unit: COUNT,
  none: UNKNOWN,
  width: 8,
  softTop: 1,
  decimals: 0,
  colors: ROLES,
  queries: [over(`${onceBy("role", shared(BY_ROLE))} - sum by (role) (min by (job, role) (${shared(BY_ROLE)}))`, "{{role}}")],
});

export const sessions = board({
  name: "sessions",
  title: "Skriptoteket: Sessions and roles",
  question: "How many sessions, by which role, and for how long?",
  rows: [
    row(4, sessionsNow, usersNow, perUser, startedInRange, endedInRange, median),
    row(9, byRole, ends),
    row(9, lengths, quantiles),
    row(8, starts, balance, disagreement),
  ],
});
