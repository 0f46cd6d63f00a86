//! A call to Redis: a script or a command, with its keys and arguments.

use std::sync::OnceLock;

use redis::{Cmd, Script, ToRedisArgs};

/// A script, and the digest by which a server identifies it.
#[derive(Debug)]
pub(super) struct LuaScript {
    code: &'static str,
    sha: OnceLock<String>,
    is_repeatable: bool,
}

impl LuaScript {
    /// Creates a script with this text.
    pub(super) const fn new(code: &'static str) -> Self {
        Self {
            code,
            sha: OnceLock::new(),
            is_repeatable: false,
        }
    }

    /// Marks this script as safe to run twice: it only reads, or a second run finds its changes already made and
    /// returns a result that the caller can use.
    pub(super) const fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    fn sha(&self) -> &str {
        self.sha
            .get_or_init(|| Script::new(self.code).get_hash().to_owned())
    }
}

/// The commands that are safe to run twice. All of them only read, except: `SET` writes a fixed value (the probe), and
/// `DEL` finds nothing the second time.
const REPEATABLE: [&str; 9] = [
    "DEL", "GET", "MGET", "SET", "ZCARD", "ZMSCORE", "ZRANGE", "ZSCAN", "ZSCORE",
];

#[derive(Clone, Copy, Debug)]
enum What {
    Script(&'static LuaScript),
    Command(&'static str),
}

/// One script call or command. All its keys have the same hash tag, and it declares every key that it may access: a
/// Cluster that is moving a slot would otherwise run it on half of them.
#[derive(Clone, Debug)]
pub(super) struct Call {
    what: What,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    /// Creates a call of a script on these keys.
    pub(super) const fn script(script: &'static LuaScript, keys: Vec<String>) -> Self {
        Self {
            what: What::Script(script),
            keys,
            arguments: Vec::new(),
        }
    }

    /// Creates a call of a command: its keys come first, then its arguments.
    pub(super) const fn command(name: &'static str, keys: Vec<String>) -> Self {
        Self {
            what: What::Command(name),
            keys,
            arguments: Vec::new(),
        }
    }

    /// Adds one argument, or several.
    pub(super) fn arg(mut self, value: impl ToRedisArgs) -> Self {
        self.arguments.extend(value.to_redis_args());
        self
    }

    /// True if the call may be repeated when it is unknown whether it was executed.
    pub(super) fn is_repeatable(&self) -> bool {
        match self.what {
            What::Script(script) => script.is_repeatable,
            What::Command(name) => REPEATABLE.contains(&name),
        }
    }

    /// The first key; it determines the Cluster node that has all of them.
    pub(super) fn first_key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }

    /// The command if the server knows the script.
    pub(super) fn short(&self) -> Cmd {
        match self.what {
            What::Script(script) => self.evaluated("EVALSHA", script.sha()),
            What::Command(name) => self.with_all(redis::cmd(name)),
        }
    }

    /// The command if the server has reported that it does not know the script.
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

/// Whether a call waits until a replica has the write too.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    ForMaster,
    ForReplica,
}
