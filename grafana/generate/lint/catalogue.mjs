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
    [...source.matchAll(/const (\w+): Attribute = closed\("([^"]+)", &(\w+)\)/g)].map(([, name, key, values]) => [
      name,
      [key, enums[values]],
    ]),
  );
  const metrics = {};
  const list = source.slice(source.indexOf("pub const CATALOGUE"));
  for (const [, block] of list.matchAll(/^ {4}Instrument \{\n([\s\S]*?)^ {4}\},/gm)) {
    const field = (pattern) => block.match(pattern)?.[1] ?? fail(`${pattern} is in no line of\n${block}`);
    const attributes = field(/attributes: &\[([\s\S]*?)\],\n {8}meaning/);
    metrics[field(/prometheus: "([^"]+)"/)] = {
      kind: field(/kind: Kind::(\w+)/),
      shared: field(/scope: Scope::(\w+)/) === "ServiceWide",
      labels: Object.fromEntries(
        labels(attributes, named, enums).map(([key, values]) => [key.replaceAll(".", "_"), values]),
      ),
    };
  }
  if (Object.keys(metrics).length < 10) {
    fail("the catalogue cannot be read any more: has its form changed?");
  }
  return { metrics, enums };
}

/** Labels with their closed values; undefined where they are not listed. */
function labels(attributes, named, enums) {
  const constants = [...attributes.matchAll(/\b([A-Z]{3,})\b(?=,|$)/g)].filter(([, it]) => named[it]);
  return [
    ...constants.map(([, name]) => named[name]),
    ...[...attributes.matchAll(/closed\("([^"]+)", &(\w+)\)/g)].map(([, key, values]) => [key, enums[values]]),
    ...[...attributes.matchAll(/key: "([^"]+)"/g)].map(([, key]) => [key, undefined]),
  ];
}

const strings = (text) => [...text.matchAll(/"([^"]*)"/g)].map(([, it]) => it);

const read = (name) => fs.readFileSync(new URL(name, INSTRUMENTS), "utf8");

function fail(reason) {
  throw new Error(reason);
}
