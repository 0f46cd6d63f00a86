// Serves the built page and takes a picture of it: node draw.mjs DIST PROMETHEUS_URL MINUTES FILE [THEME]

import fs from "node:fs";
import http from "node:http";
import path from "node:path";

import { chromium } from "playwright-core";

const [dist, prometheus, minutes, file, theme = "dark"] = process.argv.slice(2);
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".css": "text/css" };

async function answer(request, response) {
  const prefix = "/prometheus";
  if (request.url.startsWith(prefix)) {
    const asked = await fetch(prometheus + request.url.slice(prefix.length));
    response.writeHead(asked.status, { "Content-Type": "application/json" }).end(await asked.text());
    return;
  }
  const { pathname } = new URL(request.url, "http://localhost");
  const found = path.join(dist, pathname === "/" ? "index.html" : path.normalize(pathname));
  if (fs.existsSync(found)) {
    response.writeHead(200, { "Content-Type": TYPES[path.extname(found)] ?? "application/octet-stream" });
    response.end(fs.readFileSync(found));
  } else {
    response.writeHead(404).end();
  }
}

const server = http.createServer((request, response) => {
  answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1408, height: 900 } });
const faults = [];
page.on("pageerror", (error) => faults.push(String(error)));
await page.goto(`http://127.0.0.1:${server.address().port}/?minutes=${minutes}&theme=${theme}`);
await page.waitForSelector("canvas");
await page.evaluate(() => document.fonts.ready);
await page.waitForFunction(() => !document.querySelector("[data-pending]"));
// The last drawing of each canvas.
await page.waitForTimeout(2000);
faults.push(...(await page.locator("[data-fault]").allTextContents()));
await page.screenshot({ path: file, fullPage: true });
await browser.close();
server.close();
if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
