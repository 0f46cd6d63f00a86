// The metrics that the program exports. The boards may use no others.

import fs from "node:fs";

// Generated from the catalogue by `make reference`. A test compares the two.
const CATALOGUE = new URL("../../../docs/metrics.json", import.meta.url);

/**
 * Returns the metrics by their Prometheus name, with `kind`, `shared` (service-wide) and `labels`: the closed set of
 * values of each label, or `undefined` if it is not closed.
 */
export function catalogue() {
  const listed = JSON.parse(fs.readFileSync(CATALOGUE, "utf8"));
  const metrics = {};
  for (const { prometheus, kind, scope, labels } of listed) {
    metrics[prometheus] = {
      kind: KINDS[kind] ?? fail(`no such kind: ${kind}`),
      shared: scope === "service-wide",
      labels: Object.fromEntries(labels.map(({ label, values }) => [label, values])),
    };
  }
  return metrics;
}

const KINDS = {
  counter: "Counter",
  "observable counter": "ObservableCounter",
  "observable gauge": "ObservableGauge",
  "observable up-down counter": "ObservableUpDownCounter",
  histogram: "Histogram",
};

function fail(reason) {
  throw new Error(reason);
}
