// Uses the pages in headless Chromium, with JavaScript on and off, light and dark.
//
//   node main.mjs ORIGIN PASSWORD [PICTURES]
//
// The service has the accounts js-light, js-dark, plain, svensk, locked-js and locked-plain with this password. With PICTURES, a
// directory, it also takes screenshots there.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { Watched } from "./watched.mjs";

const [origin, password, pictures] = process.argv.slice(2);
const next = `${password} and more`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});

async function picture(watched, name) {
  if (pictures && watched.script) {
    await watched.page.screenshot({ path: `${pictures}/${name}-${watched.scheme}.png` });
  }
}

// Log in, wrong password, log out, sessions, password.
async function user(name, options) {
  const one = await Watched.open(browser, origin, options);
  one.expected.add(401).add(403);
  await one.go("/account");
  assert.equal(one.path(), "/login?next=%2Faccount");
  await one.check("login");
  await picture(one, "login");
  await one.logIn(name, "not the password");
  await one.sees("The user name or the password is wrong.");
  await one.hasFocusOnSummary();
  await one.check("failed login");
  await one.logIn(name, password);
  await one.arrives("/account");
  assert.equal(await one.page.getByRole("heading", { level: 3 }).count(), 1);

  const others = [];
  for (let n = 0; n < 2; n += 1) {
    const other = await Watched.open(browser, origin, options);
    await other.go("/login");
    await other.logIn(name, password);
    await other.arrives("/account");
    others.push(other);
  }
  await one.go("/account");
  assert.equal(await one.page.getByRole("heading", { level: 3 }).count(), 3);
  await one.check("account");
  await picture(one, "account");
  await one.page.getByRole("listitem").nth(1).getByRole("button", { name: "End session" }).click();
  await one.sees("The session has ended.");
  assert.equal(await one.page.getByRole("heading", { level: 3 }).count(), 2);
  await one.press("End all other sessions");
  await one.sees("Your other sessions have ended.");
  for (const other of others) {
    await other.go("/account");
    assert.equal(other.path(), "/login?next=%2Faccount");
    await other.close();
  }

  await one.page.getByRole("link", { name: "Change password" }).click();
  await one.check("password");
  await one.fill("Current password", "not the password");
  await one.fill("New password", next);
  await one.fill("Repeat the new password", next);
  await one.press("Change password");
  await one.sees("The current password is wrong.");
  await one.hasFocusOnSummary();
  await one.check("failed password change");
  await one.fill("Current password", password);
  await one.fill("New password", next);
  await one.fill("Repeat the new password", next);
  await one.press("Change password");
  await one.sees("Your password is changed.");

  await one.go("/logout");
  await one.check("logout");
  await one.page.getByRole("main").getByRole("button", { name: "Log out" }).click();
  await one.sees("You are logged out.");
  await one.logIn(name, password);
  await one.sees("The user name or the password is wrong.");
  await one.logIn(name, next);
  await one.arrives("/account");
  await one.page.getByRole("navigation").getByRole("button", { name: "Log out" }).click();
  await one.sees("You are logged out.");
  one.expected.add(404);
  await one.go("/none");
  assert.equal(await one.heading(), "The page does not exist");
  await one.check("error");
  await one.close();
}

// An account that is locked after too many failed logins.
async function lockout(name, options) {
  const one = await Watched.open(browser, origin, options);
  one.expected.add(401).add(429);
  await one.go("/login");
  for (let n = 0; n < 3; n += 1) {
    await one.logIn(name, "not the password");
    await one.sees("There is a problem");
  }
  await one.logIn(name, password);
  await one.sees("Too many attempts. Try again in");
  await one.hasFocusOnSummary();
  await one.check("lockout");
  await one.close();
}

// The pages in Swedish, whose words are longer.
async function swedish(name) {
  const one = await Watched.open(browser, origin, { locale: "sv-SE" });
  one.expected.add(401).add(403);
  await one.go("/login");
  await one.fill("Användarnamn", name);
  await one.fill("Lösenord", "fel lösenord");
  await one.press("Logga in");
  await one.sees("Användarnamnet eller lösenordet är fel.");
  await one.check("failed login, Swedish");
  await one.fill("Användarnamn", name);
  await one.fill("Lösenord", password);
  await one.press("Logga in");
  await one.arrives("/account");
  await one.check("account, Swedish");
  await one.go("/account/password");
  await one.check("password, Swedish");
  await one.go("/logout");
  await one.check("logout, Swedish");
  await one.close();
}

// The keyboard alone: skip link, form, menu.
async function keyboard(name) {
  const one = await Watched.open(browser, origin);
  const press = (key) => one.page.keyboard.press(key);
  const focused = () => one.page.evaluate(() => document.activeElement.textContent || document.activeElement.name);
  await one.go("/login");
  await press("Tab");
  assert.equal(await focused(), "Skip to content");
  await press("Enter");
  await press("Tab");
  assert.equal(await focused(), "username");
  await one.page.keyboard.type(name);
  await press("Tab");
  await one.page.keyboard.type(next);
  await press("Tab");
  assert.equal(await focused(), "Show password");
  await press("Space");
  assert.equal(await one.page.locator("#password").getAttribute("type"), "text");
  await press("Space");
  await press("Tab");
  await press("Space");
  assert.ok(await one.page.getByLabel("Keep me logged in").isChecked());
  await press("Enter");
  await one.arrives("/account");
  const seen = [];
  for (let n = 0; n < 12 && seen.at(-1) !== "End session"; n += 1) {
    await press("Tab");
    seen.push((await focused()).trim());
  }
  assert.deepEqual(seen.slice(-3), ["Log out", "Change password", "End session"]);
  await press("Enter");
  await one.sees("You are logged out.");
  await one.close();
}

try {
  await user("js-light", { script: true, scheme: "light" });
  await user("js-dark", { script: true, scheme: "dark" });
  await user("plain", { script: false });
  await lockout("locked-js", { script: true });
  await lockout("locked-plain", { script: false });
  await swedish("svensk");
  await keyboard("js-light");
  console.log("all pages work");
} finally {
  await browser.close();
}
