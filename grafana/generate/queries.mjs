// Queries in PromQL, and the selectors that they are made of.
//
// Two kinds of series want two kinds of selectors. A replica has its own (`own`): they add up over the instances that
// were picked. The service has some that are the same truth wherever they are read (`shared`): one replica at a time
// exports them, under an instance of their own, so `max` is taken and `$instance` must not filter them.

import * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";

const JOB = 'job=~"$job"';
const INSTANCE = 'instance=~"$instance"';

const select = (metric, matchers) => `${metric}{${matchers.join(",")}}`;

/** The series that each replica has for itself. */
export const own = (metric, ...matchers) => select(metric, [JOB, INSTANCE, ...matchers]);

/** The series that the service has once. */
export const shared = (metric, ...matchers) => select(metric, [JOB, ...matchers]);

/** The matcher of the services that were picked, where series are of a service. */
export const PICKED = 'service_id=~"$service"';

/**
 * A total that the service has once, as the rules record it: the maximum over the replicas.
 *
 * `rate` and `increase` are taken of this and never of the replicas' series. Where Prometheus scrapes replicas directly,
 * those begin anew on another target when another replica takes over.
 */
export const total = (name, ...matchers) => select(`skriptoteket:${name}:max`, [JOB, ...matchers]);

/**
 * The scrape jobs of this service, its Collector and its Prometheus: a shared Prometheus has others too. Their names begin
 * with "skriptoteket", as in the scrape configurations that ship.
 */
const SCRAPED = 'job=~"skriptoteket.*"';

/** Whether Prometheus can scrape each target of this service. */
export const TARGETS = `up{${SCRAPED}}`;

/** Alerts of this service that fire, without the one that always does. */
export const FIRING = 'ALERTS{alertstate="firing",service="skriptoteket",alertname!="Watchdog"}';

/** A metric of the Collector. Its counters end in `_total` or not, depending on how they are read. */
export const collector = (name) => `{__name__=~"otelcol_${name}(_total)?",${SCRAPED}}`;

/** Events per second, as it was `ago`. The rate comes before the sum: that is right over restarts. */
export const rate = (selector, window = "$__rate_interval", ago = "") =>
  `rate(${selector}[${window}]${ago && ` offset ${ago}`})`;

/** Events within a time. */
export const increase = (selector, window = "$__range") => `increase(${selector}[${window}])`;

/** `of` over the whole time range, as its end sees it: a number that is the same at each step. */
export const whole = (of, selector) => `${of}(${selector}[$__range] @ end())`;

export const sum = (expr) => `sum(${expr})`;
export const sumBy = (labels, expr) => `sum by (${labels}) (${expr})`;
export const max = (expr) => `max(${expr})`;
export const maxBy = (labels, expr) => `max by (${labels}) (${expr})`;

/** What each service has once, of all services that were picked: installations add up, replicas do not. */
export const once = (expr) => `sum(max by (job) (${expr}))`;
export const onceBy = (labels, expr) => `sum by (${labels}) (max by (job, ${labels}) (${expr}))`;

/**
 * A share of a total: 0 where nothing of it ever happened, nothing where there was nothing to share. Without the
 * `vector(0)` a total outage would be an empty panel, without the `> 0` a quiet night would be NaN.
 */
export const share = (part, total) => `(${part} or vector(0)) / (${total} > 0)`;

/** `expr`, or 0 while `alive` has data: a 0 that cannot come from a dead pipeline. */
export const zeroWhile = (alive, expr) => `(${expr} or vector(0)) and on() ${alive}`;

/** The ten series of `expr` that have the most of `total`, which is the same at each step: so they are the same ten. */
export const ten = (labels, expr, total) => `${expr} and on(${labels}) topk(10, ${total})`;

/** A quantile of a histogram; nothing, rather than NaN, where nothing was recorded. */
export const quantile = (q, selector, window = "$__rate_interval", by = "le") =>
  `histogram_quantile(${q}, ${sumBy(by, rate(selector, window))}) >= 0`;

/** A query whose values are drawn over time, under `legend`. */
export const over = (expr, legend) => query(expr, legend).range();

/** A query for one value, now. */
export const now = (expr, legend) => query(expr, legend).instant();

/** A query for the rows of a table, now. */
export const cells = (expr) => query(expr, "__auto").instant().format(prometheus.PromQueryFormat.Table);

/** A query for the buckets of a histogram, drawn as a heatmap. */
export const buckets = (expr) => query(expr, "{{le}}").range().format(prometheus.PromQueryFormat.Heatmap);

function query(expr, legend) {
  return new prometheus.DataqueryBuilder().expr(expr).legendFormat(legend);
}
