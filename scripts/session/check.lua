--[[
  session/check: whether a session is active; if that is not known, under which version what the
  database says can be confirmed.

  KEYS   state     hash: all of a user
  ARGV   session   id
         nonce     of the caller, for a version where there is none
         database  1 where a database is behind, 0 where this is all there is
  GIVES  array     active its packed field, revoked nothing more, absent nothing more, unknown the
                   version and the time
  FAILS  WRONGTYPE, OOM
  REPEAT same
  COST   O(1)
]]
local state = KEYS[1]
local session = ARGV[1]
local nonce = ARGV[2]
local database = tonumber(ARGV[3])
local field = 's:' .. session
local found = redis.call('HMGET', state, 'v', field)
local time = redis.call('TIME')
local instant = time[1] * 1000 + math.floor(time[2] / 1000)
if found[2] then
  local expires, length = struct.unpack('>I6I2', found[2])
  if expires > instant then
    -- A tombstone, see below.
    if length == 65535 then
      return { 'revoked' }
    end
    if database == 0 or struct.unpack('>I6', found[2], 21) > instant then
      return { 'active', found[2] }
    end
  end
end
-- A hit, which is most of all calls, does without what follows.
-- @include shared/user_state
if database == 0 then
  return { 'absent' }
end
if found[1] then
  return { 'unknown', found[1], now }
end
local version, refused = mint_version(state, nonce)
return refused or { 'unknown', version, now }
