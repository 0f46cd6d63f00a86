//! The service with registered machines, and their requests.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use skriptoteket_testing::load::{CHEAP_LOGINS, Server, write_script};

use super::ours::start_ours;

/// Registered machines.
const SERVICES: usize = 10;

/// The content type of every request.
const FORM: &str = "application/x-www-form-urlencoded";

/// Limits that are never reached.
const NO_LIMITS: (&str, u32) = ("10000/s", 1_000_000);

/// The service and its registered machines.
pub(crate) struct Issuer {
    pub(crate) server: Server,
    pub(crate) machines: Vec<Machine>,
    dir: PathBuf,
    client: Client,
}

/// A registered service.
pub(crate) struct Machine {
    pub(crate) id: String,
    /// The `Authorization` header with its id and secret.
    pub(crate) basic: String,
}

impl Issuer {
    /// Starts the service in `dir` with these additional settings, and registers the machines.
    pub(crate) async fn start(dir: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let own = [
            // The processors are shared with `wrk`: a delay affects all servers, and is not a failure.
            ("SKRIPTOTEKET_STORE_TIMEOUT", "5s"),
            ("SKRIPTOTEKET_TOKEN_LIFETIME", "2h"),
        ];
        let server = start_ours(dir, &[CHEAP_LOGINS, &own, settings].concat()).await?;
        let mut issuer = Self {
            server,
            machines: Vec::with_capacity(SERVICES),
            dir: dir.to_owned(),
            client: Client::new(),
        };
        let cookie = issuer.server.login().await?;
        let (rate, burst) = NO_LIMITS;
        for n in 0..SERVICES {
            let id = format!("service-{n}");
            let service = json!({"id": id, "rate": rate, "burst": burst});
            let request = issuer.client.post(issuer.server.url("/api/admin/services"));
            let answer = answer(request.header("cookie", &cookie).json(&service)).await?;
            let secret = answer["client_secret"].as_str().context("a secret")?;
            let basic = BASE64_STANDARD.encode(format!("{id}:{secret}"));
            let basic = format!("Basic {basic}");
            issuer.machines.push(Machine { id, basic });
        }
        Ok(issuer)
    }

    /// Returns the directory of its embedded store.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Sends a request to an OAuth endpoint as a machine.
    pub(crate) fn ask(&self, machine: &Machine, path: &str, form: String) -> RequestBuilder {
        let request = self.client.post(self.server.url(path));
        let request = request.header("authorization", &machine.basic);
        request.header("content-type", FORM).body(form)
    }

    /// Returns `count` tokens, of all machines in turn.
    pub(crate) async fn tokens(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let mut tokens = Vec::with_capacity(count);
        for machine in self.machines.iter().cycle().take(count) {
            let form = String::from("grant_type=client_credentials");
            let answer = answer(self.ask(machine, "/oauth2/token", form)).await?;
            let token = answer["access_token"].as_str().context("a token")?;
            tokens.push(token.to_owned());
        }
        Ok(tokens)
    }
}

/// Sends a request, which must succeed, and returns the JSON of the response.
pub(crate) async fn answer(request: RequestBuilder) -> anyhow::Result<Value> {
    let answer = request.send().await?.error_for_status()?;
    Ok(serde_json::from_str(&answer.text().await?)?)
}

/// The credentials of a request in a `wrk` script: `Authorization`, and a form or nothing.
pub(crate) type Credential = (String, String);

/// Returns bearer tokens without a form.
pub(crate) fn bearers(tokens: &[String]) -> Vec<Credential> {
    let bearer = |token: &String| (format!("Bearer {token}"), String::new());
    tokens.iter().map(bearer).collect()
}

/// Writes a `wrk` script that sends these requests in turn. They are built before the load begins, so that building
/// them takes no time from the servers.
pub(crate) fn script(
    dir: &Path,
    name: &str,
    method: &str,
    credentials: &[Credential],
) -> anyhow::Result<PathBuf> {
    let mut script = String::from("local credentials = {\n");
    for (authorization, form) in credentials {
        writeln!(script, "  {{ {authorization:?}, {form:?} }},")?;
    }
    write!(
        script,
        "}}\nlocal requests, n = {{}}, 0\nfunction init()\n  for i, it in ipairs(credentials) do\n    \
         local headers = {{ Authorization = it[1] }}\n    \
         if it[2] ~= '' then headers['Content-Type'] = {FORM:?} end\n    \
         requests[i] = wrk.format({method:?}, nil, headers, it[2] ~= '' and it[2] or nil)\n  end\nend\n\
         function request()\n  n = n % #requests + 1\n  return requests[n]\nend\n"
    )?;
    write_script(dir, name, &script)
}
