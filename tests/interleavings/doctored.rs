//! Copies of the scripts that lack what a law rests on.

use auth_adapter_redis::ScriptLibrary;

use super::support::doctored::copy;

/// What is brought back is taken whatever version it was read under.
pub fn without_the_version() -> &'static ScriptLibrary {
    let check = "user.version ~= version";
    copy(&[("session/confirm.lua", check, "false"), ("session/fill.lua", check, "false")])
}

/// Tombstones have expired when they are written.
pub fn without_tombstones() -> &'static ScriptLibrary {
    copy(&[
        ("shared/user_state.lua", "'>I6I2', till, DEAD", "'>I6I2', 0, DEAD"),
        ("shared/end_others.lua", "sub(packed, 1, 6)", "string.rep('\\0', 6)"),
    ])
}

/// A session is listed if a field says so that clients write: they read it, add an id, and write it.
pub fn with_an_index_by_commands() -> &'static ScriptLibrary {
    let filtered = "
local index, listed = redis.call('HMGET', state, 'i')[1] or '', { sessions[1] }
for at = 2, #sessions, 2 do
  if string.find(index, sessions[at], 1, true) then
    listed[#listed + 1] = sessions[at]
    listed[#listed + 1] = sessions[at + 1]
  end
end
return listed
";
    copy(&[("session/list.lua", "\nreturn sessions\n", filtered)])
}
