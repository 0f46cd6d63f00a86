// The peer of the Redis benchmark: a session check on express-session and connect-redis, and the usual way to count
// sessions for Prometheus with prom-client.
//
//   node server.js PORT REDIS_URL
//
// Two processes share the port, because the other servers have two workers. Settings are the libraries' defaults,
// except `resave` and `saveUninitialized`, which express-session itself recommends to turn off.

import cluster from "node:cluster";

import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { Gauge, Registry } from "prom-client";
import { createClient } from "redis";

const WORKERS = 2;
const [port, redisUrl] = process.argv.slice(2);

if (cluster.isPrimary) {
  for (let n = 0; n < WORKERS; n += 1) {
    cluster.fork();
  }
  // A single remaining worker would be measured as two.
  cluster.on("exit", () => process.exit(1));
} else {
  const client = createClient({ url: redisUrl });
  client.on("error", () => process.exit(1));
  await client.connect();
  const store = new RedisStore({ client });

  const registry = new Registry();
  new Gauge({
    name: "sessions",
    help: "Live sessions by role",
    labelNames: ["role"],
    registers: [registry],
    async collect() {
      const byRole = new Map();
      for (const { user } of await store.all()) {
        byRole.set(user.role, (byRole.get(user.role) ?? 0) + 1);
      }
      this.reset();
      for (const [role, count] of byRole) {
        this.set({ role }, count);
      }
    },
  });

  const app = express();
  app.get("/metrics", async (_request, response) => {
    response.type(registry.contentType).send(await registry.metrics());
  });
  app.use(
    session({
      store,
      secret: "only for measuring",
      resave: false,
      saveUninitialized: false,
      cookie: { maxAge: 30 * 60 * 1000 },
    }),
  );
  app.post("/login", (request, response) => {
    request.session.user = {
      id: "019a8f3e-0000-7000-8000-000000000000",
      username: "admin",
      role: "superuser",
    };
    request.session.times = {
      id: "00AAAAAAAAAAAAAAAAAAAAAA",
      created_at: "2026-01-01T12:00:00.000Z",
      expires_at: "2026-01-01T12:30:00.000Z",
    };
    response.status(204).end();
  });
  app.get("/api/session", (request, response) => {
    const { user, times } = request.session;
    if (user === undefined) {
      response.status(401).end();
    } else {
      response.json({ user, session: times });
    }
  });
  app.listen(Number(port), "127.0.0.1");
}
