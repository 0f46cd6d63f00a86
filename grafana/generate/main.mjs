// Writes the boards in Grafana's format into a folder: node main.mjs FOLDER

import fs from "node:fs";
import path from "node:path";

import { BOARDS } from "./boards.mjs";

const folder = process.argv[2];
if (!folder) {
  console.error("usage: node main.mjs FOLDER");
  process.exit(2);
}
fs.mkdirSync(folder, { recursive: true });
for (const name of fs.readdirSync(folder).filter((name) => name.endsWith(".json"))) {
  fs.rmSync(path.join(folder, name));
}
for (const board of BOARDS) {
  fs.writeFileSync(path.join(folder, `${board.uid}.json`), `${JSON.stringify(board, null, 2)}\n`);
}
