// Checks the boards of a folder: node lint/main.mjs FOLDER
//
// It reads the files and does not use the generator, because the files are what Grafana loads.

import fs from "node:fs";
import path from "node:path";

import * as colors from "../colors.mjs";
import { catalogue } from "./catalogue.mjs";
import * as dashboard from "./dashboard.mjs";
import * as expression from "./expression.mjs";
import { recorded } from "./recorded.mjs";
import { SAMPLES } from "./samples.mjs";

const folder = process.argv[2];
if (!folder) {
  console.error("usage: node lint/main.mjs FOLDER");
  process.exit(2);
}
const metrics = catalogue();
const quiet = JSON.parse(fs.readFileSync(new URL("../quiet.json", import.meta.url), "utf8"));

let passed = 0;
let failed = 0;
const check = (what, faults) => {
  for (const fault of faults) {
    console.error(`${what}: ${fault}`);
  }
  failed += faults.length > 0;
  passed += faults.length === 0;
};

const byService = (board) => board.templating.list.some((it) => it.name === "service");

const places = [];
for (const file of fs.readdirSync(folder).sort()) {
  const board = JSON.parse(fs.readFileSync(path.join(folder, file), "utf8"));
  check(file, dashboard.faults(board, file));
  for (const it of dashboard.expressions(board)) {
    const where = it.panel ?? it.annotation ?? it.variable;
    places.push({ board: board.uid, ...it });
    const found = expression.faults(it.expr, metrics, { picking: Boolean(it.variable), byService: byService(board) });
    check(`${file}: ${where}`, found);
  }
}

// A metric may be on a board through its recording rules.
const recordings = Object.entries(recorded());
for (const name of Object.keys(metrics)) {
  const metric = new RegExp(`\\b${name}(_bucket|_count|_sum)?\\b`);
  const names = [name, ...recordings.filter(([, expr]) => metric.test(expr)).map(([it]) => it)];
  const used = places.some(({ expr }) =>
    names.some((it) => new RegExp(`\\b${it}(_bucket|_count|_sum)?\\{`).test(expr)),
  );
  check("the catalogue", used ? [] : [`${name} is on no board`]);
}

for (const entry of quiet) {
  const { reason, only, ...place } = entry;
  const there = places.some((it) => Object.entries(place).every(([key, value]) => it[key] === value));
  const world = [undefined, "direct", "collector"].includes(only);
  check("quiet.json", there && reason && world ? [] : [`no such place, or no reason: ${JSON.stringify(entry)}`]);
}

for (const [expr, word, options] of SAMPLES) {
  const found = expression.faults(expr, metrics, options);
  const right = word ? found.length === 1 && found[0].includes(word) : found.length === 0;
  check("samples.mjs", right ? [] : [`expected ${word ?? "no fault"}, found [${found}]: ${expr}`]);
}

const painted = [
  ["skriptoteket_sessions_by_role", "role", colors.ROLES],
  ["skriptoteket_logins_total", "status", colors.STATUSES],
  ["skriptoteket_login_failures_total", "reason", colors.FAILURES],
  ["skriptoteket_sessions_ended_total", "reason", colors.ENDS],
  ["skriptoteket_password_checks_total", "result", colors.CHECKS],
  ["skriptoteket_store_operation_duration_seconds", "store", colors.STORES],
  ["skriptoteket_failed_auths_total", "reason", colors.REFUSALS],
  ["skriptoteket_token_verifications_total", "status", colors.TOKENS],
  ["skriptoteket_auth_latency_seconds", "operation", colors.OPERATIONS],
  ["skriptoteket_services_by_health", "health", colors.HEALTHS],
  ["skriptoteket_rate_limit_failures_total", "policy", colors.POLICIES],
  ["skriptoteket_service_registrations_total", "event", colors.REGISTRATIONS],
  ["skriptoteket_credential_rotations_total", "result", colors.ROTATIONS],
];
for (const [name, label, map] of painted) {
  const values = metrics[name].labels[label];
  const same = JSON.stringify(Object.keys(map).sort()) === JSON.stringify([...values].sort());
  check("colors.mjs", same ? [] : [`the colours are not those of ${label} of ${name}: ${values}`]);
}

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
