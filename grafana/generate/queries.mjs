// Queries in PromQL, and the selectors that they are built from.
//
// There are two kinds of series, with two kinds of selectors. A replica has its own series (`own`): they add up over
// the selected instances. Other series describe the whole service (`shared`) and have the same value wherever they are
// read: one replica at a time exports them, under a separate instance, so `max` is used and `$instance` must not filter
// them.

import * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";

const JOB = 'job=~"$job"';
const INSTANCE = 'instance=~"$instance"';

const select = (metric, matchers) => `${metric}{${matchers.join(",")}}`;

/** Selects series that each replica has for itself. */
export const own = (metric, ...matchers) => select(metric, [JOB, INSTANCE, ...matchers]);

/** Selects series that the service has once. */
export const shared = (metric, ...matchers) => select(metric, [JOB, ...matchers]);

/** Matches the selected services, for series of a service. */
export const PICKED = 'service_id=~"$service"';

/**
 * Selects a total of the whole service as recorded by the rules: the maximum over the replicas.
 *
 * `rate` and `increase` are computed from this, never from the replicas' series. Where Prometheus scrapes replicas
 * directly, another replica that takes over starts a new series on another target.
 */
export const total = (name, ...matchers) => select(`skriptoteket:${name}:max`, [JOB, ...matchers]);

/**
 * Matches the scrape jobs of this service, its Collector and its Prometheus, because a shared Prometheus has others too.
 * Their names begin with "skriptoteket", as in the shipped scrape configurations.
 */
const SCRAPED = 'job=~"skriptoteket.*"';

/** Whether Prometheus can scrape each target of this service. */
export const TARGETS = `up{${SCRAPED}}`;

/** Alerts of this service that are firing, except the one that always does. */
export const FIRING = 'ALERTS{alertstate="firing",service="skriptoteket",alertname!="Watchdog"}';

/** Selects a metric of the Collector. Its counters end in `_total` or not, depending on how they are exported. */
export const collector = (name) => `{__name__=~"otelcol_${name}(_total)?",${SCRAPED}}`;

/** Events per second, optionally as of `ago`. The rate comes before the sum: this is correct across restarts. */
export const rate = (selector, window = "$__rate_interval", ago = "") =>
  `rate(${selector}[${window}]${ago && ` offset ${ago}`})`;

/** Events within a period. */
export const increase = (selector, window = "$__range") => `increase(${selector}[${window}])`;

/** `of` over the whole time range, as of its end: a number that is the same at each step. */
export const whole = (of, selector) => `${of}(${selector}[$__range] @ end())`;

export const sum = (expr) => `sum(${expr})`;
export const sumBy = (labels, expr) => `sum by (${labels}) (${expr})`;
export const max = (expr) => `max(${expr})`;
export const maxBy = (labels, expr) => `max by (${labels}) (${expr})`;

/** The value that each service has once, summed over the selected services: installations add up, replicas do not. */
export const once = (expr) => `sum(max by (job) (${expr}))`;
export const onceBy = (labels, expr) => `sum by (${labels}) (max by (job, ${labels}) (${expr}))`;

/**
 * A share of a total: 0 if the part has no events, no data if the total has none. Without the `vector(0)` a total outage
 * would show as an empty panel; without the `> 0` a quiet night would be NaN.
 */
export const share = (part, total) => `(${part} or vector(0)) / (${total} > 0)`;

/** `expr`, or 0 while `alive` has data: a dead pipeline cannot produce this 0. */
export const zeroWhile = (alive, expr) => `(${expr} or vector(0)) and on() ${alive}`;

/** The ten series of `expr` with the highest `total`. The total is the same at each step, so the ten series are too. */
export const ten = (labels, expr, total) => `${expr} and on(${labels}) topk(10, ${total})`;

/** A quantile of a histogram; no data instead of NaN where nothing was recorded. */
export const quantile = (q, selector, window = "$__rate_interval", by = "le") =>
  `histogram_quantile(${q}, ${sumBy(by, rate(selector, window))}) >= 0`;

/** A query whose values are drawn over time, with the name `legend`. */
export const over = (expr, legend) => query(expr, legend).range();

/** A query for one current value. */
export const now = (expr, legend) => query(expr, legend).instant();

/** A query for the current rows of a table. */
export const cells = (expr) => query(expr, "__auto").instant().format(prometheus.PromQueryFormat.Table);

/** A query for the buckets of a histogram, drawn as a heatmap. */
export const buckets = (expr) => query(expr, "{{le}}").range().format(prometheus.PromQueryFormat.Heatmap);

function query(expr, legend) {
  return new prometheus.DataqueryBuilder().expr(expr).legendFormat(legend);
}
