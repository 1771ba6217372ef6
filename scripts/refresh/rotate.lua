--[[
  refresh/rotate: a refresh token for the next one. Of several at once one is rotated, and the others
  get what it got. A token that comes back later ends its family.

  KEYS   state       hash: all of a user
  ARGV   session     id
         family      hash of the family's secret, 32 bytes
         generation  of the token
         token       its hash, 32 bytes
         next        hash of the next one, 32 bytes
         payload     sealed, for those who come a moment later
         window      how long that is, in milliseconds
         nonce       of the caller, for a new version
  GIVES  array       rotated when the session expires, replayed the payload, superseded by a later
                     rotation, previous reused after its window, older reused, revoked the session was,
                     unknown to be any of these
  FAILS  WRONGTYPE, OOM
  REPEAT same
  COST   O(1), and O(N) in the sessions of the user where it ends one
]]
local state = KEYS[1]
local session = ARGV[1]
local family = ARGV[2]
local generation = tonumber(ARGV[3])
local token = ARGV[4]
local next = ARGV[5]
local payload = ARGV[6]
local window = tonumber(ARGV[7])
local nonce = ARGV[8]
-- @include shared/user_state
-- @include shared/lineage
local known, ended_by = find(state, session)
if ended_by then
  -- A repeat of what ended the family gives the same.
  local ours = string.sub(ended_by, -33) == '\n' .. token
  return { ours and string.sub(ended_by, 1, -34) or 'revoked' }
end
if not known or known.lineage == '' then
  return { 'unknown' }
end
local lineage = unpack_lineage(known.lineage)
local is = standing(lineage, family, generation, token)
if is == 'unknown' or is == 'superseded' then
  return { is }
end
if generation == lineage.generation - 1 and lineage.current == next then
  return { 'rotated', known.expires }
end
if is == 'replay' then
  return { 'replayed', lineage.payload }
end
if is == 'spent' then
  local class = generation == lineage.generation - 1 and 'previous' or 'older'
  local user, set = read_state(state), { 'v', version_of(nonce) }
  local till = bury(user, session, class .. '\n' .. token, set)
  return write_state(state, user, set, till) or { class }
end
write_lineage(state, session, known, {
  generation = lineage.generation + 1,
  rotated = now,
  replay = now + window,
  family = family,
  current = next,
  previous = token,
  payload = window > 0 and payload or '',
})
return { 'rotated', known.expires }
