// What the program exports, read from the source of its catalogue: the boards may use nothing else.

import fs from "node:fs";

const INSTRUMENTS = new URL("../../../src/telemetry/instruments/", import.meta.url);

/**
 * The catalogue: `metrics` by their Prometheus name, with `kind`, `shared` (service-wide) and `labels`; `enums`, the
 * closed values of labels, by the name of their constant.
 */
export function catalogue() {
  const lists = read("mod.rs");
  const source = read("catalogue.rs");
  const enums = Object.fromEntries(
    [...`${lists}${source}`.matchAll(/const (\w+): \[&str; \d+\] = \[([^\]]*)\]/g)].map(([, name, values]) => [
      name,
      strings(values),
    ]),
  );
  const named = Object.fromEntries(
    [...source.matchAll(/^const (\w+): Attribute =([^;]+);/gm)].map(([, name, how]) => [name, attribute(how, enums)]),
  );
  const metrics = {};
  const table = source.match(/^catalogue! \{\n([\s\S]*?)^\}/m)?.[1] ?? fail("there is no table of instruments");
  for (const entry of table.split(/;\n/).filter((it) => it.trim())) {
    const [, name, kind, scope, attributes] = entry.match(ENTRY) ?? fail(`no entry of the table:\n${entry}`);
    metrics[name] = { kind, shared: scope === "ServiceWide", labels: labels(attributes, named, enums) };
  }
  if (Object.keys(metrics).length < 10) {
    fail("the catalogue cannot be read any more: has its form changed?");
  }
  return { metrics, enums };
}

/** `"otel.name" as "prometheus_name": Kind, "unit", Scope, [attributes], "meaning"` */
const ENTRY = /^\s*"[^"]+" as "(\w+)":\s*(\w+),\s*"[^"]+",\s*(\w+),\s*\[([^\]]*)\],\s*"[^"]+"$/;

/** Labels by name, with their closed values; undefined where they are not listed. */
function labels(attributes, named, enums) {
  const each = attributes.match(/\w+\([^)]*\)|\w+/g) ?? [];
  return Object.fromEntries(
    each.map((it) => {
      const [key, values] = it.includes("(") ? attribute(it, enums) : (named[it] ?? fail(`no such attribute: ${it}`));
      return [key.replaceAll(".", "_"), values];
    }),
  );
}

/** The key and the closed values of `closed("key", &VALUES)`; of any other form, `undefined` for the values. */
function attribute(text, enums) {
  const [, key] = text.match(/"([^"]+)"/) ?? fail(`an attribute without a key: ${text}`);
  const [, values] = text.match(/^\s*closed\("[^"]+", &(\w+)\)$/) ?? [];
  return [key, values && (enums[values] ?? fail(`no such values: ${values}`))];
}

const strings = (text) => [...text.matchAll(/"([^"]*)"/g)].map(([, it]) => it);

const read = (name) => fs.readFileSync(new URL(name, INSTRUMENTS), "utf8");

function fail(reason) {
  throw new Error(reason);
}
