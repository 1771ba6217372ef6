--[[
  refresh/revoke: end the session that a refresh token belongs to.

  KEYS   state    hash: all of a user
  ARGV   session  id
         family   hash of the family's secret, 32 bytes
         nonce    of the caller, for a new version
  GIVES  string   ended for good, revoked it was before, unknown the family is not this session's
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(N) in the sessions of the user
]]
local state = KEYS[1]
local session = ARGV[1]
local family = ARGV[2]
local nonce = ARGV[3]
-- @include shared/user_state
-- @include shared/lineage
local user = read_state(state)
if user.tombstones[session] then
  return 'revoked'
end
local known = user.sessions[session]
if not known or known.lineage == '' or unpack_lineage(known.lineage).family ~= family then
  return 'unknown'
end
local set = { 'v', version_of(nonce) }
return write_state(state, user, set, bury(user, session, '', set)) or 'ended'
