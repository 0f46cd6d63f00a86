//! The scripts, each with the shared code that it needs.

use super::call::LuaScript;

/// A script that begins with these shared files.
macro_rules! script {
    ($($head:literal),* => $name:literal) => {
        LuaScript::new(concat!(
            $(include_str!(concat!("scripts/", $head, ".lua")),)*
            include_str!(concat!("scripts/", $name, ".lua")),
        ))
    };
}

// Scripts that are not repeatable count something, or return a result that no later call returns again.

pub(super) static CREATE: LuaScript = script!("_time", "_sessions" => "create");
pub(super) static LOAD: LuaScript = script!("_time" => "load").repeatable();
pub(super) static TOUCH: LuaScript = script!("_time", "_sessions" => "touch").repeatable();
pub(super) static UPDATE: LuaScript = script!("_time", "_sessions" => "update").repeatable();
pub(super) static RENEW: LuaScript = script!("_time", "_sessions" => "renew").repeatable();
pub(super) static PEEK: LuaScript = script!("_time", "_sessions" => "peek").repeatable();
pub(super) static END: LuaScript = script!("_time", "_sessions" => "end").repeatable();
pub(super) static END_USER: LuaScript = script!("_time", "_sessions" => "end_user");
pub(super) static SET_ROLE: LuaScript = script!("_time", "_sessions" => "set_role");
pub(super) static SET_ROLE_OF_NONE: LuaScript = script!("_time", "_sessions" => "set_role_of_none");
pub(super) static DUE: LuaScript = script!("_time", "_sessions" => "due").repeatable();
pub(super) static REAP: LuaScript = script!("_time", "_sessions" => "reap");
pub(super) static NOW: LuaScript = script!("_time" => "now").repeatable();
pub(super) static FAR: LuaScript = script!("_time", "_sessions" => "far").repeatable();
pub(super) static SETTLE_CLOCK: LuaScript = script!("_time", "_sessions" => "settle_clock");
pub(super) static CENSUS: LuaScript = script!("_time" => "census").repeatable();
pub(super) static LIVE_OF_USER: LuaScript =
    script!("_time", "_sessions" => "live_of_user").repeatable();
pub(super) static LIVE_OF_SHARD: LuaScript =
    script!("_time", "_sessions" => "live_of_shard").repeatable();

pub(super) static RESERVE: LuaScript = script!("_time", "_limits" => "reserve");
pub(super) static SETTLE: LuaScript = script!("_time", "_limits" => "settle").repeatable();
pub(super) static CLEAR: LuaScript = script!("_time", "_limits" => "clear");
pub(super) static STALE_LIMITS: LuaScript = script!("_time" => "stale_limits").repeatable();
pub(super) static PRUNE: LuaScript = script!("_time" => "prune");

#[cfg(feature = "services")]
pub(super) static QUOTA: LuaScript = script!("_time" => "quota");

pub(super) static HOLD: LuaScript = script!(=> "hold").repeatable();
pub(super) static TAKE_OVER: LuaScript = script!(=> "take_over").repeatable();
pub(super) static RELEASE: LuaScript = script!(=> "release").repeatable();
