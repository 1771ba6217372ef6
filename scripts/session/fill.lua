--[[
  session/fill: all sessions of a user, as the database lists them, and nothing was revoked since the
  list that was asked before it.

  KEYS   state       hash: all of a user
  ARGV   version     that the list, the create or the check gave
         asked       the time that it gave
         lasts       how long after that the sessions read active, in milliseconds
         complete    how long after that the list is, likewise
         session...  id, created, expires, record, of each in turn
  GIVES  array       filled the ids that were revoked here before, stale something was revoked meanwhile
                     or all is forgotten or the version is too old
  FAILS  WRONGTYPE, OOM
  REPEAT same
  COST   O(N) in the sessions of the user
]]
local state = KEYS[1]
local version = ARGV[1]
local asked = tonumber(ARGV[2])
local lasts = tonumber(ARGV[3])
local complete = tonumber(ARGV[4])
-- @include shared/user_state
local user = read_state(state)
if user.version ~= version or asked + math.min(lasts, complete) <= now then
  return { 'stale' }
end
local set, till, filled = { 'v', version }, math.max(user.complete, asked + complete), { 'filled' }
set[3], set[4] = 'c', string.format('%.0f', till)
for at = 5, #ARGV, 4 do
  local id, expires = ARGV[at], tonumber(ARGV[at + 2])
  local known = user.sessions[id] or new_session(tonumber(ARGV[at + 1]), expires, ARGV[at + 3])
  if user.tombstones[id] then
    filled[#filled + 1] = id
  elseif known.expires > now then
    known.confirmed = math.max(known.confirmed, asked + lasts)
    set[#set + 1] = 's:' .. id
    set[#set + 1] = pack_session(known)
    till = math.max(till, known.expires)
  end
end
return write_state(state, user, set, till) or filled
