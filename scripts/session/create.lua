--[[
  session/create: a new session, and the oldest ones make room for it.

  KEYS   state     hash: all of a user
  ARGV   session   id
         nonce     of the caller, for a new version
         created   by the database, in epoch milliseconds
         expires   likewise
         record    of the caller
         max       how many sessions may be at once, 0 for any number
         database  1 where a database is behind, 0 where this is all there is
  GIVES  array     created the ids that it displaced, unfilled the version under which to fill the list
                   first and the time, revoked the ids that it displaced before it was, expired
                   the same by the server's clock
  FAILS  WRONGTYPE, OOM
  REPEAT same
  COST   O(N log N) in the sessions of the user
]]
local state = KEYS[1]
local session = ARGV[1]
local nonce = ARGV[2]
local created = tonumber(ARGV[3])
local expires = tonumber(ARGV[4])
local record = ARGV[5]
local max = tonumber(ARGV[6])
local database = tonumber(ARGV[7])
-- @include shared/user_state
local user = read_state(state)
-- A repeat tells of those whom its first execution displaced, whatever came between.
local displaced, others = { 'created' }, {}
add_buried(user, session, displaced)
if user.tombstones[session] then
  displaced[1] = 'revoked'
  return displaced
end
if database == 1 and max > 0 and user.complete <= now then
  if user.version then
    return { 'unfilled', user.version, now }
  end
  local version, refused = mint_version(state, nonce)
  return refused or { 'unfilled', version, now }
end
local known = user.sessions[session] or new_session(created, expires, record)
if known.expires <= now then
  displaced[1] = 'expired'
  return displaced
end
for field in pairs(user.packed) do
  local id = string.sub(field, 3)
  if id ~= session then
    others[#others + 1] = user.sessions[id]
  end
end
table.sort(others, function(a, b)
  return a.created < b.created or (a.created == b.created and a.id < b.id)
end)
local set = { 'v', user.version or version_of(nonce) }
for at = 1, max > 0 and #others + 1 - max or 0 do
  displaced[#displaced + 1] = others[at].id
  bury(user, others[at].id, session, set)
  set[2] = version_of(nonce)
end
set[#set + 1] = 's:' .. session
set[#set + 1] = pack_session(known)
return write_state(state, user, set, known.expires) or displaced
