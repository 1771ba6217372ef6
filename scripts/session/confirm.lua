--[[
  session/confirm: the database says that a session is active, and nothing was revoked since the
  check that was asked before it.

  KEYS   state    hash: all of a user
  ARGV   session  id
         version  that the check gave
         asked    the time that the check gave
         created  by the database, in epoch milliseconds
         expires  likewise
         record   of the caller
         lasts    how long after the check it reads active, in milliseconds
  GIVES  string   confirmed it reads active now, stale something was revoked meanwhile or all is
                  forgotten or the check is too old, revoked this session was, expired by the server's
                  clock
  FAILS  WRONGTYPE, OOM
  REPEAT same
  COST   O(N) in the sessions of the user
]]
local state = KEYS[1]
local session = ARGV[1]
local version = ARGV[2]
local asked = tonumber(ARGV[3])
local created = tonumber(ARGV[4])
local expires = tonumber(ARGV[5])
local record = ARGV[6]
local lasts = tonumber(ARGV[7])
-- @include shared/user_state
local user = read_state(state)
if user.tombstones[session] then
  return 'revoked'
end
-- It lasts from the check on: what a late execution brings back was read back then.
if user.version ~= version or asked + lasts <= now then
  return 'stale'
end
local known = user.sessions[session] or new_session(created, expires, record)
if known.expires <= now then
  return 'expired'
end
known.confirmed = math.max(known.confirmed, asked + lasts)
local set = { 'v', version, 's:' .. session, pack_session(known) }
return write_state(state, user, set, known.expires) or 'confirmed'
