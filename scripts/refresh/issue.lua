--[[
  refresh/issue: begin a lineage of refresh tokens, or bring it up to what the database says.

  KEYS   state       hash: all of a user
  ARGV   session     id
         family      hash of the family's secret, 32 bytes
         generation  of the token
         token       its hash, 32 bytes
  GIVES  string      issued it is the current one now or was already, behind the stored one is as late or
                     later, revoked the session was, unknown the session is not here
  FAILS  WRONGTYPE, OOM
  REPEAT same
  COST   O(1)
]]
local state = KEYS[1]
local session = ARGV[1]
local family = ARGV[2]
local generation = tonumber(ARGV[3])
local token = ARGV[4]
-- @include shared/user_state
-- @include shared/lineage
local known, ended_by = find(state, session)
if ended_by then
  return 'revoked'
end
if not known then
  return 'unknown'
end
if known.lineage ~= '' then
  local stored = unpack_lineage(known.lineage)
  if stored.family == family and stored.generation == generation and stored.current == token then
    return 'issued'
  end
  if stored.generation >= generation then
    return 'behind'
  end
end
-- Whoever brought the database up to this may be slower here than another tab with an older token.
write_lineage(state, session, known, {
  generation = generation,
  rotated = now,
  replay = now,
  family = family,
  current = token,
  previous = string.rep('\0', 32),
  payload = '',
})
return 'issued'
