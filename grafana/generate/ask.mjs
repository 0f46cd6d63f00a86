// Runs every expression of every board on a Prometheus: node ask.mjs PROMETHEUS_URL FOLDER [MINUTES [INTERVAL [WORLD]]]
//
// INTERVAL is the scrape interval in seconds (15). WORLD is "direct" where Prometheus scrapes the replicas without a
// Collector, else "collector" (the default).
// Each expression must have data, and no NaN or infinite value, over the last MINUTES (10). Those in quiet.json may be
// empty.

import fs from "node:fs";
import path from "node:path";

import { expressions } from "./lint/dashboard.mjs";
import { filled } from "./lint/expression.mjs";

const [url, folder, minutes = "10", interval = "15", world = "collector"] = process.argv.slice(2);
if (!folder) {
  console.error("usage: node ask.mjs PROMETHEUS_URL FOLDER [MINUTES [INTERVAL]]");
  process.exit(2);
}
const listed = JSON.parse(fs.readFileSync(new URL("./quiet.json", import.meta.url), "utf8"));
const quiet = listed.filter((it) => (it.only ?? world) === world);
const end = Date.now() / 1000;
const start = end - Number(minutes) * 60;

const milliseconds = (seconds) => `${Math.round(seconds * 1000)}ms`;

/** Values of Grafana's variables for this range, with this `timeInterval`. */
const values = [
  ["$__rate_interval", milliseconds(4 * interval)],
  ["$__interval", milliseconds(interval)],
  ["$__range", `${minutes}m`],
  ["$instance", ".+"],
  ["$job", ".+"],
  ["$service", ".+"],
];

async function get(api, parameters) {
  const response = await fetch(`${url}/api/v1/${api}?${new URLSearchParams(parameters)}`);
  const answer = await response.json();
  if (answer.status !== "success") {
    throw new Error(answer.error);
  }
  return answer.data;
}

/** Returns the values of an expression; for a variable, the values of its label. */
async function numbers({ expr, instant, label }) {
  const query = filled(expr, values);
  if (label) {
    return get(`label/${label}/values`, { "match[]": query, start, end });
  }
  const { result } = instant
    ? await get("query", { query, time: end })
    : await get("query_range", { query, start, end, step: Number(interval) });
  return result.flatMap((series) => (series.values ?? [series.value]).map(([, value]) => Number(value)));
}

async function fault(place) {
  let found;
  try {
    found = await numbers(place);
  } catch (error) {
    return `refused: ${error.message}`;
  }
  const may = quiet.some(({ reason, only, ...it }) => Object.entries(it).every(([key, value]) => place[key] === value));
  if (found.length === 0) {
    return may ? undefined : "no data";
  }
  return found.every((it) => typeof it === "string" || Number.isFinite(it)) ? undefined : "NaN or infinite";
}

let passed = 0;
let failed = 0;
for (const file of fs.readdirSync(folder).sort()) {
  const board = JSON.parse(fs.readFileSync(path.join(folder, file), "utf8"));
  for (const it of expressions(board)) {
    const place = { board: board.uid, ...it };
    const what = await fault(place);
    if (what) {
      console.error(`${file}: ${it.panel ?? it.annotation ?? it.variable} ${it.ref ?? ""}: ${what}: ${it.expr}`);
      failed += 1;
    } else {
      passed += 1;
    }
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
