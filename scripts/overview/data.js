// The data of a panel: its queries to Prometheus, as Grafana's data frames.

import {
  FieldConfigOptionsRegistry,
  FieldType,
  applyFieldOverrides,
  cacheFieldDisplayNames,
  createTheme,
  dateTime,
  toDataFrame,
} from "@grafana/data";

const parameters = new URLSearchParams(location.search);
const minutes = Number(parameters.get("minutes"));
/** The scrape interval of prometheus/direct.yml, in seconds. */
const interval = 15;

export const theme = createTheme({ colors: { mode: parameters.get("theme") } });

const to = Date.now();
const from = to - minutes * 60_000;
export const timeRange = {
  from: dateTime(from),
  to: dateTime(to),
  raw: { from: `now-${minutes}m`, to: "now" },
};

/** Grafana's variables; a name comes before those that it begins with. */
const variables = [
  ["$__rate_interval", `${4 * interval}s`],
  ["$__interval", `${interval}s`],
  ["$__range", `${minutes}m`],
  ["$instance", ".+"],
  ["$job", ".+"],
];

const filled = (expression) => variables.reduce((text, [name, value]) => text.replaceAll(name, value), expression);

/** Options of a field that the boards override, without their editors. */
const registry = new FieldConfigOptionsRegistry();
for (const id of ["unit", "min", "max", "decimals", "displayName", "color", "thresholds", "mappings", "noValue"]) {
  registry.register({ id, path: id, name: id, process: (value) => value, shouldApply: () => true, settings: {} });
}

async function series({ expr, instant }) {
  const query = new URLSearchParams({ query: filled(expr) });
  if (instant) {
    query.set("time", to / 1000);
  } else {
    query.set("start", from / 1000);
    query.set("end", to / 1000);
    query.set("step", interval);
  }
  const answer = await fetch(`/prometheus/api/v1/${instant ? "query" : "query_range"}?${query}`);
  const { status, data, error } = await answer.json();
  if (status !== "success") {
    throw new Error(error);
  }
  return data.result;
}

const named = (legend, labels) => legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? "");

/** Returns the frames of a panel, with its units, colors and limits. */
export async function frames({ targets, fieldConfig }) {
  const data = [];
  for (const target of targets) {
    for (const { metric, value, values = [value] } of await series(target)) {
      const name = named(target.legendFormat, metric);
      const times = values.map(([seconds]) => seconds * 1000);
      const numbers = values.map(([, number]) => Number(number));
      const time = { name: "Time", type: FieldType.time, values: times, config: { interval: interval * 1000 } };
      const field = { name: "Value", type: FieldType.number, values: numbers, labels: metric };
      const config = { displayNameFromDS: name };
      data.push(toDataFrame({ refId: target.refId, name, fields: [time, { ...field, config }] }));
    }
  }
  const applied = applyFieldOverrides({
    data,
    fieldConfig,
    replaceVariables: (text) => text,
    theme,
    timeZone: "browser",
    fieldConfigRegistry: registry,
  });
  for (const field of applied.flatMap((frame) => frame.fields)) {
    if (field.type === FieldType.number) {
      field.config.custom = {
        axisPlacement: "auto",
        scaleDistribution: { type: "linear" },
        hideFrom: { viz: false, legend: false, tooltip: false },
        ...fieldConfig.defaults.custom,
      };
    }
  }
  cacheFieldDisplayNames(applied);
  return applied;
}
