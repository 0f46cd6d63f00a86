// Rules for one expression, checked on the syntax tree of Prometheus's own grammar.

import { parser } from "@prometheus-io/lezer-promql";

import { recorded } from "./recorded.mjs";

/** The recording rules, by name. */
const RECORDED = recorded();

/** Placeholder values of Grafana's variables. Longer names come first, because some are prefixes of others. */
const FILLED = [
  ["$__rate_interval", "1m"],
  ["$__interval", "15s"],
  ["$__range", "6h"],
  ["$instance", ".+"],
  ["$job", ".+"],
  ["$service", ".+"],
];

/** Returns `expr` as Prometheus would receive it. */
export const filled = (expr, values = FILLED) =>
  values.reduce((text, [name, value]) => text.replaceAll(name, value), expr);

/** Metrics of Prometheus and of the Collector, not of the program. */
const FOREIGN = /^(up|ALERTS|otelcol_\w+|prometheus_\w+)$/;

/** Matchers that select this service in a Prometheus that also watches others. */
const OUR_JOBS = /job=~"skriptoteket\.\*"/;
const OUR_ALERTS = /service="skriptoteket"/;

/** Labels that Prometheus and the Collector add to series. */
const ADDED = new Set(["job", "instance", "__name__", "le", "otel_metric_overflow"]);

/**
 * Returns the faults of `expr`, as sentences. `metrics` are those of the catalogue. An expression for the choices of a
 * variable is `picking`: it needs no selection of job and instance. On a board with a choice of services it is
 * `byService`.
 */
export function faults(expr, metrics, { picking = false, byService = false } = {}) {
  const text = filled(byService ? expr : expr.replaceAll("$service", "$unknown"));
  // `$1` is a group of a regular expression, not a variable.
  if (/\$\D/.test(text)) {
    return [`a variable that is not known: ${text}`];
  }
  const found = [];
  parser.parse(text).iterate({
    enter({ node }) {
      const source = text.slice(node.from, node.to);
      if (node.type.isError) {
        found.push(`no PromQL at ${node.from}: ${text}`);
      } else if (node.name === "VectorSelector") {
        found.push(...selector(node, text, metrics, picking, byService));
      } else if (node.name === "BinaryExpr") {
        found.push(...binary(node, text));
      } else if (node.name === "FunctionCall" && source.startsWith("histogram_quantile")) {
        if (!/^\s*>= 0/.test(text.slice(node.to))) {
          found.push(`NaN while idle, append ">= 0": ${source}`);
        }
      }
    },
  });
  return found;
}

function selector(node, text, metrics, picking, byService) {
  const source = text.slice(node.from, node.to);
  const identifier = node.getChild("Identifier");
  const name = identifier && text.slice(identifier.from, identifier.to);
  const matchers = parsedMatchers(node, text);
  const within = ancestors(node);
  const found = [];

  if (!name) {
    const pattern = matchers.find((it) => it.label === "__name__")?.value ?? "";
    if (!/^(otelcol_|skriptoteket_)/.test(pattern)) {
      found.push(`a selector without a name: ${source}`);
    }
    if (pattern.startsWith("otelcol_") && !OUR_JOBS.test(source)) {
      found.push(`also of other services: ${source}`);
    }
    if (pattern.startsWith("skriptoteket_") && !matchers.some((it) => it.label === "job")) {
      found.push(`no job: ${source}`);
    }
    return found;
  }
  if (FOREIGN.test(name)) {
    const chosen = { ALERTS: OUR_ALERTS, up: OUR_JOBS }[name] ?? (name.startsWith("otelcol_") ? OUR_JOBS : /^/);
    return chosen.test(source) ? found : [`also of other services: ${source}`];
  }

  if (name.startsWith("skriptoteket:")) {
    return recordedFaults(name, matchers, source);
  }

  const base = metrics[name] ? name : name.replace(/_(bucket|count|sum)$/, "");
  const metric = metrics[base];
  if (!metric || (metric.kind === "Histogram") !== (base !== name)) {
    return [`not in the catalogue: ${name}`];
  }
  const has = (label) => matchers.some((it) => it.label === label);
  if (!has("job") && !picking) {
    found.push(`no job: ${source}`);
  }
  if (byService && "service_id" in metric.labels && !has("service_id") && !picking) {
    found.push(`not of the services that were picked: ${source}`);
  }
  if (metric.shared && has("instance")) {
    found.push(`service-wide, its instance is none of the replicas: ${source}`);
  }
  if (!metric.shared && !has("instance") && !picking) {
    found.push(`per replica, no instance: ${source}`);
  }
  const aggregate = within.find((it) => it.name === "AggregateExpr");
  if (metric.shared && !/^(max|min)\b/.test(aggregate ? text.slice(aggregate.from) : "")) {
    found.push(`service-wide, wants max: ${source}`);
  }
  if (metric.shared && metric.kind.endsWith("Counter") && within.some((it) => it.name === "MatrixSelector")) {
    found.push(`begins anew when another replica exports it, take the recorded total: ${source}`);
  }
  const counts = metric.kind === "Counter" || metric.kind === "Histogram";
  if (counts && !metric.shared && !picking && !within.some((it) => it.name === "MatrixSelector")) {
    found.push(`a counter without rate or increase: ${source}`);
  }
  for (const { label, value, regular } of matchers.filter((it) => !ADDED.has(it.label))) {
    if (!(label in metric.labels)) {
      found.push(`${name} has no label ${label}`);
      continue;
    }
    const known = metric.labels[label];
    const values = regular ? value.split("|") : [value];
    if (known && value !== "") {
      found.push(...values.filter((it) => !known.includes(it)).map((it) => `${label} is never ${it}: ${source}`));
    }
  }
  return found;
}

/** Faults in the use of a recorded series. It has no label for a replica's instance. */
function recordedFaults(name, matchers, source) {
  const found = [];
  if (!(name in RECORDED)) {
    found.push(`no rule records it: ${source}`);
  }
  if (!matchers.some((it) => it.label === "job")) {
    found.push(`no job: ${source}`);
  }
  if (matchers.some((it) => it.label === "instance")) {
    found.push(`recorded for the service, its instance is none: ${source}`);
  }
  return found;
}

function binary(node, text) {
  const source = text.slice(node.from, node.to);
  const right = text.slice(node.lastChild.from, node.lastChild.to);
  if (node.getChild("Or") && /^vector\(0\)./.test(right)) {
    return [`"or vector(0)" binds less than what follows it, put it in parentheses: ${source}`];
  }
  if (node.getChild("Div") && !/^[\d.]+$/.test(right) && !/> 0\)$/.test(right)) {
    return [`may divide by 0, append "> 0" to the divisor: ${source}`];
  }
  return [];
}

function parsedMatchers(node, text) {
  const list = [];
  node.cursor().iterate((it) => {
    if (it.name === "UnquotedLabelMatcher") {
      const [, label, op, value] = text.slice(it.from, it.to).match(/^(\w+)\s*(=~|!~|!=|=)\s*"(.*)"$/s);
      list.push({ label, value, regular: op.endsWith("~") });
    }
  });
  return list;
}

function ancestors(node) {
  const list = [];
  for (let it = node.parent; it; it = it.parent) {
    list.push(it);
  }
  return list;
}
