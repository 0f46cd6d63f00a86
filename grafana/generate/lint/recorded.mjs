// Reads the recording rules from their files. Names with the same prefix on a board must be among them.

import fs from "node:fs";

const RULES = new URL("../../../prometheus/rules/", import.meta.url);

/** Returns the expressions of the recording rules, by the name that they record. */
export function recorded() {
  const found = {};
  for (const file of fs.readdirSync(RULES)) {
    const text = fs.readFileSync(new URL(file, RULES), "utf8");
    for (const [, name, expr] of text.matchAll(/- record: (\S+)\n\s+expr:((?:(?!- record:|- alert:)[^])*)/g)) {
      found[name] = expr;
    }
  }
  if (Object.keys(found).length < 8) {
    throw new Error("the recording rules cannot be read any more: has their form changed?");
  }
  return found;
}
