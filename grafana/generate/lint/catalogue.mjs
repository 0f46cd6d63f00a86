// What the program exports: the boards may use nothing else.

import fs from "node:fs";

// Written from the catalogue by `make reference`; a test compares the two.
const CATALOGUE = new URL("../../../docs/metrics.json", import.meta.url);

/**
 * `metrics` by their Prometheus name, with `kind`, `shared` (service-wide) and `labels`: the closed values of each label, `undefined`
 * where they are not a closed set.
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
