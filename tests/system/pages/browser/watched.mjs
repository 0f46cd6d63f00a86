// A browser page that is watched: what the policy blocked, what went wrong, and what went elsewhere fails the test.
import assert from "node:assert/strict";
import AxeBuilder from "@axe-core/playwright";

// The rules of WCAG 2.2, level AA, and below.
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

export class Watched {
  constructor(context, page, origin, { script, scheme }) {
    Object.assign(this, { context, page, origin, script, scheme, faults: [] });
    // Statuses of error pages that a step expects.
    this.expected = new Set();
    page.on("console", (message) => {
      const status = /status of (\d+)/.exec(message.text())?.[1];
      if (message.type() === "error" && !this.expected.has(Number(status))) {
        this.faults.push(`console: ${message.text()}`);
      }
    });
    page.on("pageerror", (error) => this.faults.push(`script: ${error}`));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== origin) {
        this.faults.push(`a request to ${request.url()}`);
      }
    });
  }

  static async open(browser, origin, { script = true, scheme = "light", locale = "en-GB" } = {}) {
    const context = await browser.newContext({
      javaScriptEnabled: script,
      colorScheme: scheme,
      viewport: { width: 1024, height: 768 },
      locale,
    });
    const page = await context.newPage();
    return new Watched(context, page, origin, { script, scheme });
  }

  async go(path) {
    return this.page.goto(this.origin + path);
  }

  // Waits for the page that a redirect by `Refresh` leads to.
  async arrives(path) {
    await this.page.waitForURL(this.origin + path);
  }

  path() {
    const url = new URL(this.page.url());
    return url.pathname + url.search;
  }

  async heading() {
    return this.page.locator("h1").innerText();
  }

  async sees(text) {
    await this.page.getByText(text).first().waitFor();
  }

  async press(name) {
    await this.page.getByRole("button", { name, exact: true }).first().click();
  }

  async fill(label, value) {
    await this.page.getByLabel(label, { exact: true }).fill(value);
  }

  async logIn(name, password) {
    await this.fill("User name", name);
    await this.fill("Password", password);
    await this.press("Log in");
  }

  // The error summary has the focus, with and without the script.
  async hasFocusOnSummary() {
    await this.page.locator("#error-summary:focus").waitFor();
  }

  // Checks accessibility (axe needs JavaScript) and that the page fits a narrow screen.
  async check(what) {
    if (!this.script) {
      return;
    }
    const { violations } = await new AxeBuilder({ page: this.page }).withTags(RULES).analyze();
    const found = violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.target).join(" ")}`);
    assert.deepEqual(found, [], `${what}, ${this.scheme}`);
    const before = this.page.viewportSize();
    await this.page.setViewportSize({ width: 320, height: 640 });
    const overflow = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${what}: ${overflow} px too wide at 320 px`);
    await this.page.setViewportSize(before);
  }

  async close() {
    assert.deepEqual(this.faults, []);
    await this.context.close();
  }
}
