//! What is asked of Redis: a script or a command, with its keys and arguments.

use std::sync::OnceLock;

use redis::{Cmd, Script, ToRedisArgs};

/// A script, and the name by which a server that has it knows it.
#[derive(Debug)]
pub(super) struct LuaScript {
    code: &'static str,
    sha: OnceLock<String>,
    is_repeatable: bool,
}

impl LuaScript {
    /// The script with this text.
    pub(super) const fn new(code: &'static str) -> Self {
        Self {
            code,
            sha: OnceLock::new(),
            is_repeatable: false,
        }
    }

    /// This script, which may be run twice where it was to be run once: it only reads, or its second run finds done what
    /// it would do, and answers what the caller can go on with.
    pub(super) const fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    fn sha(&self) -> &str {
        self.sha
            .get_or_init(|| Script::new(self.code).get_hash().to_owned())
    }
}

/// The commands that may be run twice. All that are used only read, but for these: `SET` writes a fixed value (the probe),
/// and `DEL` finds nothing the second time.
const REPEATABLE: [&str; 9] = [
    "DEL", "GET", "MGET", "SET", "ZCARD", "ZMSCORE", "ZRANGE", "ZSCAN", "ZSCORE",
];

#[derive(Clone, Copy, Debug)]
enum What {
    Script(&'static LuaScript),
    Command(&'static str),
}

/// One script call or command. All its keys have one hash tag, and it names every key that it may touch: a Cluster that is
/// moving a slot would otherwise run it on half of them.
#[derive(Clone, Debug)]
pub(super) struct Call {
    what: What,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    /// A script on these keys.
    pub(super) const fn script(script: &'static LuaScript, keys: Vec<String>) -> Self {
        Self {
            what: What::Script(script),
            keys,
            arguments: Vec::new(),
        }
    }

    /// A command: its keys come first, then its arguments.
    pub(super) const fn command(name: &'static str, keys: Vec<String>) -> Self {
        Self {
            what: What::Command(name),
            keys,
            arguments: Vec::new(),
        }
    }

    /// One more argument, or several.
    pub(super) fn arg(mut self, value: impl ToRedisArgs) -> Self {
        self.arguments.extend(value.to_redis_args());
        self
    }

    /// True if it may be sent again where nobody knows whether it was run.
    pub(super) fn is_repeatable(&self) -> bool {
        match self.what {
            What::Script(script) => script.is_repeatable,
            What::Command(name) => REPEATABLE.contains(&name),
        }
    }

    /// The key that says which node of a Cluster has all of them.
    pub(super) fn first_key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    /// As it is sent where the server knows the script.
    pub(super) fn short(&self) -> Cmd {
        match self.what {
            What::Script(script) => self.evaluated("EVALSHA", script.sha()),
            What::Command(name) => self.with_all(redis::cmd(name)),
        }
    }

    /// As it is sent where the server said that it does not know the script.
    pub(super) fn long(&self) -> Cmd {
        match self.what {
            What::Script(script) => self.evaluated("EVAL", script.code),
            What::Command(name) => self.with_all(redis::cmd(name)),
        }
    }

    fn evaluated(&self, how: &str, script: &str) -> Cmd {
        let mut cmd = redis::cmd(how);
        cmd.arg(script).arg(self.keys.len());
        self.with_all(cmd)
    }

    fn with_all(&self, mut cmd: Cmd) -> Cmd {
        for key in &self.keys {
            cmd.arg(key);
        }
        for argument in &self.arguments {
            cmd.arg(argument.as_slice());
        }
        cmd
    }
}
