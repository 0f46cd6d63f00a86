// Can the other boards be trusted?

import { STORES } from "../colors.mjs";
import { board, row } from "../board.mjs";
import { BYTES, COUNT, PER_SECOND, RATIO, SECONDS, bars, lines, stat } from "../panels.mjs";
import { TARGETS, collector, max, now, over, own, quantile, rate, shared, sum, sumBy, zeroWhile } from "../queries.mjs";

const CENSUS_UP = "skriptoteket_session_census_up";
const CENSUS_AGE = "skriptoteket_session_census_age_seconds";
const OBSERVER = "skriptoteket_session_observer";
const EPOCH = "skriptoteket_session_observer_epoch";
const STORE = "skriptoteket_store_operation_duration_seconds";

/** All series of the replicas. */
const everything = (...matchers) => own("", '__name__=~"skriptoteket_.+|http_server_.+"', ...matchers);

const QUEUE = (what) => collector(`exporter_queue_${what}`);

const NO_COLLECTOR = "No Collector is scraped";
const accepted = sum(rate(collector("receiver_accepted_metric_points")));

const lastSample = stat({
  id: 1,
  title: "Last sample",
  text: "Time since Prometheus last got a sample of the service, within the last 15 minutes. The gauges disappear with the last replica.",
  unit: SECONDS,
  none: "None in 15 min",
  width: 4,
  decimals: 0,
  steps: [
    [null, "green"],
    [45, "yellow"],
    [90, "red"],
  ],
  queries: [now(`time() - max(max_over_time(timestamp(${own(CENSUS_UP)})[15m:5s]))`, "last sample")],
});

const census = stat({
  id: 2,
  title: "Session census",
  text: "Whether the session gauges are current. Down: the session store responds to no replica, and the gauges are absent. Partly: it responds to some replicas.",
  unit: COUNT,
  none: "No replica",
  width: 4,
  words: { 0: { text: "Down", index: 0 }, 1: { text: "Partly", index: 1 }, 2: { text: "Up", index: 2 } },
  steps: [
    [null, "red"],
    [1, "yellow"],
    [2, "green"],
  ],
  queries: [now(`${max(own(CENSUS_UP))} + min(${own(CENSUS_UP)})`, "census")],
});

const age = stat({
  id: 3,
  title: "Census age",
  text: "Age of the last count of sessions.",
  unit: SECONDS,
  none: "Unknown",
  width: 4,
  decimals: 0,
  steps: [
    [null, "green"],
    [30, "yellow"],
    [60, "red"],
  ],
  queries: [now(max(own(CENSUS_AGE)), "age")],
});

const observers = stat({
  id: 4,
  title: "Observers",
  text: "Replicas that count the sessions for the whole service: one at a time. After a crash, the last export of the dead replica stays for up to 50 seconds, so 2 is normal for that time. 0, or 2 for longer, is a fault.",
  unit: COUNT,
  none: "Unknown",
  width: 4,
  decimals: 0,
  steps: [
    [null, "red"],
    [1, "green"],
    [2, "yellow"],
  ],
  queries: [now(sum(own(OBSERVER)), "observers")],
});

const targetsDown = stat({
  id: 5,
  title: "Targets down",
  text: "Targets of this service that Prometheus cannot scrape: scrape jobs whose names begin with skriptoteket.",
  unit: COUNT,
  none: "No targets",
  width: 4,
  decimals: 0,
  steps: [
    [null, "green"],
    [1, "red"],
  ],
  queries: [now(`count(${TARGETS}) - sum(${TARGETS})`, "down")],
});

const overflow = stat({
  id: 6,
  title: "Overflowing series",
  text: "Series that combine all label sets beyond the limit of an instrument. Should be 0: labels are closed sets.",
  unit: COUNT,
  none: "No data",
  width: 4,
  decimals: 0,
  steps: [
    [null, "green"],
    [1, "red"],
  ],
  queries: [
    now(
      zeroWhile(
        max(own(CENSUS_UP)),
        `count(${everything('otel_metric_overflow="true"')})`,
      ),
      "series",
    ),
  ],
});

const points = lines({
  id: 7,
  title: "Metric points through the Collector",
  text: "Points per second received by the Collector, and sent by its exporters. The two lines should be equal.",
  unit: PER_SECOND,
  none: NO_COLLECTOR,
  width: 12,
  colors: { accepted: "blue" },
  dashed: ["sent: prometheus"],
  queries: [
    over(accepted, "accepted"),
    over(sumBy("exporter", rate(collector("exporter_sent_metric_points"))), "sent: {{exporter}}"),
  ],
});

const lost = lines({
  id: 8,
  title: "Metric points lost",
  text: "Points per second that the Collector rejected because of its memory limit, could not read, or could not send. Should be 0.",
  unit: PER_SECOND,
  none: NO_COLLECTOR,
  width: 12,
  softTop: 0.1,
  colors: { refused: "orange", unreadable: "purple", "not sent": "red" },
  queries: [
    over(sum(rate(collector("receiver_refused_metric_points"))), "refused"),
    over(sum(rate(collector("receiver_failed_metric_points"))), "unreadable"),
    // The Collector has no series of send failures before the first one.
    over(zeroWhile(accepted, sum(rate(collector("exporter_send_failed_metric_points")))), "not sent"),
  ],
});

const queue = lines({
  id: 9,
  title: "Collector queue",
  text: "Use of the sending queues of the Collector. No data is normal: the exporter that Prometheus scrapes has no queue. Exporters of traces and logs have one, for example with the Compose profile backends.",
  unit: RATIO,
  none: "No exporter with a queue, which is normal",
  width: 8,
  top: 1,
  queries: [
    over(
      `max by (exporter) (${QUEUE("size")}) / (max by (exporter) (${QUEUE("capacity")}) > 0)`,
      "{{exporter}}",
    ),
  ],
});

const memory = lines({
  id: 10,
  title: "Collector memory",
  text: "Resident memory of the Collector. It rejects points near its limit.",
  unit: BYTES,
  none: NO_COLLECTOR,
  width: 8,
  queries: [over(sumBy("instance", collector("process_memory_rss(_bytes)?")), "{{instance}}")],
});

const targets = lines({
  id: 11,
  title: "Targets up",
  text: "1 while Prometheus can scrape the target: scrape jobs whose names begin with skriptoteket.",
  unit: COUNT,
  none: "No targets",
  width: 8,
  decimals: 0,
  top: 1,
  steps: true,
  queries: [over(`min by (job, instance) (${TARGETS})`, "{{job}} {{instance}}")],
});

const believed = lines({
  id: 12,
  title: "Session census by replica",
  text: "1 while the session gauges of the replica are current, 0 while the session store does not respond to it.",
  unit: COUNT,
  none: "No replica",
  width: 8,
  decimals: 0,
  top: 1,
  steps: true,
  queries: [over(`min by (instance) (${own(CENSUS_UP)})`, "{{instance}}")],
});

const ages = lines({
  id: 13,
  title: "Census age over time",
  text: "Age of the last count of sessions. It grows while the session store does not respond.",
  unit: SECONDS,
  none: "Unknown",
  width: 8,
  colors: { age: "blue" },
  queries: [over(max(own(CENSUS_AGE)), "age")],
});

const observing = lines({
  id: 14,
  title: "Observer by replica",
  text: "1 for the replica that counts the sessions for the whole service. When it stops, another takes over within seconds.",
  unit: COUNT,
  none: "Unknown",
  width: 8,
  decimals: 0,
  steps: true,
  softTop: 1,
  colors: { handovers: "purple" },
  queries: [
    over(`max by (instance) (${own(OBSERVER)})`, "{{instance}}"),
    // Each new observer increments the epoch.
    over(`${max(own(EPOCH))} - ${max(`${own(EPOCH)} offset $__rate_interval`)}`, "handovers"),
  ],
});

const failing = rate(own(`${STORE}_count`, 'error_type!=""'));

const storeErrors = lines({
  id: 15,
  title: "Store errors",
  text: "Operations per second in which a store failed, by store and kind. Should be 0.",
  unit: PER_SECOND,
  none: "No store is used",
  width: 6,
  softTop: 0.1,
  colors: { all: "red" },
  queries: [
    over(zeroWhile(max(own(CENSUS_UP)), sum(failing)), "all"),
    over(sumBy("store, error_type", failing), "{{store}} {{error_type}}"),
  ],
});

const storeLatency = lines({
  id: 16,
  title: "Store p95",
  text: "95 % of operations took at most this long, by store.",
  unit: SECONDS,
  none: "No store is used",
  width: 6,
  colors: STORES,
  queries: [over(quantile(0.95, own(`${STORE}_bucket`), "$__rate_interval", "store, le"), "{{store}}")],
});

const shortened = "(?:skriptoteket_)?(.+?)(?:_bucket|_sum|_count)?";

const cardinality = bars({
  id: 17,
  title: "Series per metric",
  text: "Number of series of each metric, with all its buckets; the ten largest. Labels are closed sets: the number depends on the replicas, not on the users.",
  unit: COUNT,
  none: "No data",
  width: 12,
  decimals: 0,
  queries: [
    now(
      `topk(10, count by (metric) (label_replace(${everything()}, "metric", "$1", "__name__", "${shortened}")))`,
      "{{metric}}",
    ),
  ],
});

export const pipeline = board({
  name: "pipeline",
  title: "Skriptoteket: Pipeline health",
  question: "Is the data of the other boards complete and current?",
  rows: [
    row(4, lastSample, census, age, observers, targetsDown, overflow),
    row(8, points, lost),
    row(7, queue, memory, targets),
    row(7, believed, ages, observing),
    row(10, storeErrors, storeLatency, cardinality),
  ],
});
