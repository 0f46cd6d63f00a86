// Which logins are rejected, and why?

import { ANSWERS, CHECKS, FAILURES, STATUSES } from "../colors.mjs";
import { board, row } from "../board.mjs";
import { OUR_FAULTS, REFUSED } from "../objectives.mjs";
import { COUNT, PER_SECOND, RATIO, SECONDS, lines, stat } from "../panels.mjs";
import { increase, now, over, own, quantile, rate, share, sum, sumBy } from "../queries.mjs";

const LOGINS = "skriptoteket_logins_total";
const FAILED = "skriptoteket_login_failures_total";
const DURATION = "skriptoteket_login_duration_seconds";

/** The number of logins that failed for these reasons within the range. */
const failed = (id, title, text, reasons, look) =>
  stat({
    id,
    title,
    text: `${text} Within the time range of the board.`,
    unit: COUNT,
    none: "No data",
    width: 4,
    decimals: 0,
    ...look,
    queries: [now(sum(increase(own(FAILED, `reason=~"${reasons}"`))), "failed")],
  });

const mistaken = failed(
  1,
  "Wrong name or password",
  "Attempts with an unknown name or a wrong password. Both have one reason on purpose.",
  "invalid_credentials",
  { color: FAILURES.invalid_credentials },
);
const locked = failed(
  2,
  "Rejected: account locked",
  "Attempts on accounts that were locked after too many failures.",
  "account_locked",
  { color: FAILURES.account_locked },
);
const limited = failed(
  3,
  "Rejected: address limited",
  "Attempts from addresses with too many failures.",
  "rate_limited|banned",
  { color: FAILURES.rate_limited },
);
const crossSite = failed(
  4,
  "Rejected: cross-site",
  "Attempts sent by a page of another site.",
  "cross_site",
  { color: FAILURES.cross_site },
);
const disabled = failed(
  5,
  "Account disabled",
  "Attempts with the correct password of a disabled account.",
  "account_disabled",
  { color: FAILURES.account_disabled },
);
const ours = failed(
  6,
  "Faults of the service",
  "Attempts that failed because the store or the service failed. The user was not at fault.",
  OUR_FAULTS,
  {
    steps: [
      [null, "green"],
      [0.5, "red"],
    ],
  },
);

const byReason = lines({
  id: 7,
  title: "Failures by reason",
  text: "Failed logins per second by reason, over five minutes.",
  unit: PER_SECOND,
  none: "No data",
  width: 12,
  stacked: true,
  colors: FAILURES,
  queries: [over(sumBy("reason", rate(own(FAILED), "5m")), "{{reason}}")],
});

/** The share of successful logins, as of `ago`. */
const ratio = (ago = "") =>
  share(
    sum(rate(own(LOGINS, 'status="success"'), "15m", ago)),
    sum(rate(own(LOGINS), "15m", ago)),
  );

const againstYesterday = lines({
  id: 8,
  title: "Success ratio against yesterday",
  text: "Share of login attempts that succeeded, over 15 minutes, compared with the day before.",
  unit: RATIO,
  none: "No logins",
  width: 12,
  top: 1,
  colors: { today: "green", yesterday: "text" },
  dashed: ["yesterday"],
  queries: [over(ratio(), "today"), over(ratio("1d"), "yesterday")],
});

const refused = lines({
  id: 9,
  title: "Rejected before the password check",
  text: "Attempts per second that were rejected before the password was checked, over five minutes: locked accounts, limited and banned addresses, pages of other sites.",
  unit: PER_SECOND,
  none: "No data",
  width: 8,
  colors: FAILURES,
  queries: [over(sumBy("reason", rate(own(FAILED, `reason=~"${REFUSED}"`), "5m")), "{{reason}}")],
});

const faults = lines({
  id: 10,
  title: "Failures caused by the service",
  text: "Logins per second that failed because the store or the service failed, over five minutes. Should be 0.",
  unit: PER_SECOND,
  none: "No data",
  width: 8,
  softTop: 0.1,
  colors: FAILURES,
  queries: [over(sumBy("reason", rate(own(FAILED, `reason=~"${OUR_FAULTS}"`), "5m")), "{{reason}}")],
});

const checks = lines({
  id: 11,
  title: "Password checks",
  text: "Password checks per second by result, over five minutes. Overloaded: rejected because too many were waiting.",
  unit: PER_SECOND,
  none: "No data",
  width: 8,
  colors: CHECKS,
  queries: [over(sumBy("result", rate(own("skriptoteket_password_checks_total"), "5m")), "{{result}}")],
});

const latency = lines({
  id: 12,
  title: "Login p95 by outcome",
  text: "95 % of attempts took at most this long, by outcome, over five minutes. Rejections are fast and lower the value of failures; a wrong password takes as long as a correct one.",
  unit: SECONDS,
  none: "No logins",
  width: 8,
  colors: STATUSES,
  queries: [over(quantile(0.95, own(`${DURATION}_bucket`), "5m", "status, le"), "{{status}}")],
});

const answers = lines({
  id: 13,
  title: "Responses to logins",
  text: "HTTP statuses of POST /api/login per second, over five minutes.",
  unit: PER_SECOND,
  none: "No logins",
  width: 8,
  colors: ANSWERS,
  queries: [
    over(
      sumBy(
        "http_response_status_code",
        rate(own("http_server_request_duration_seconds_count", 'http_route="/api/login"'), "5m"),
      ),
      "{{http_response_status_code}}",
    ),
  ],
});

const unwritten = lines({
  id: 14,
  title: "Attempts missing from the audit trail",
  text: "Login attempts per second that could not be stored in the audit trail, over five minutes. Should be 0.",
  unit: PER_SECOND,
  none: "No data",
  width: 8,
  softTop: 0.1,
  colors: { missing: "red" },
  queries: [over(sum(rate(own("skriptoteket_audit_events_dropped_total"), "5m")), "missing")],
});

const changes = lines({
  id: 15,
  title: "Password changes",
  text: "Attempts of users to change their password per second, by result, over five minutes. Many wrong passwords suggest guesses in a stolen session.",
  unit: PER_SECOND,
  none: "No data",
  width: 24,
  colors: { ...FAILURES, success: STATUSES.success, weak_password: "yellow" },
  queries: [over(sumBy("result", rate(own("skriptoteket_password_changes_total"), "5m")), "{{result}}")],
});

export const logins = board({
  name: "logins",
  title: "Skriptoteket: Logins and attacks",
  question: "Which logins are rejected, and why?",
  rows: [
    row(4, mistaken, locked, limited, crossSite, disabled, ours),
    row(9, byReason, againstYesterday),
    row(8, refused, faults, checks),
    row(8, latency, answers, unwritten),
    row(8, changes),
  ],
});
