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
  COST   O(N) in the sessions of the user
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
local user = read_state(state)
local tombstone = user.tombstones[session]
if tombstone then
  -- A repeat of what ended the family gives the same.
  local ended_by = string.sub(tombstone.displacer, -33) == '\n' .. token
  return { ended_by and string.sub(tombstone.displacer, 1, -34) or 'revoked' }
end
local known = user.sessions[session]
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
  local set = { 'v', version_of(nonce) }
  local class = generation == lineage.generation - 1 and 'previous' or 'older'
  local till = bury(known, class .. '\n' .. token, set)
  return write_state(state, user, set, till) or { class }
end
known.lineage = pack_lineage({
  generation = lineage.generation + 1,
  rotated = now,
  replay = now + window,
  family = family,
  current = next,
  previous = token,
  payload = window > 0 and payload or '',
})
known.trimmed = false
local set = { 's:' .. session, pack_session(known) }
return write_state(state, user, set, known.expires) or { 'rotated', known.expires }
