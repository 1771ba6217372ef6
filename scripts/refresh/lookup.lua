--[[
  refresh/lookup: what a refresh token is worth, and nothing changes.

  KEYS   state       hash: all of a user
  ARGV   session     id
         family      hash of the family's secret, 32 bytes
         generation  of the token
         token       its hash, 32 bytes
  GIVES  string      current it can be rotated, replay it was rotated a moment ago, superseded by a
                     rotation a moment ago, spent it was rotated before, revoked the session was, unknown
                     to be any of these
  FAILS  WRONGTYPE
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
if not known or known.lineage == '' then
  return 'unknown'
end
return standing(unpack_lineage(known.lineage), family, generation, token)
