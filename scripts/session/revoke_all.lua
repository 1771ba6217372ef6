--[[
  session/revoke_all: end all sessions of a user for good, and delete cached keys with them.

  KEYS   state    hash: all of a user
         also...  keys to delete, of any type
  ARGV   nonce    of the caller, for a new version
  GIVES  array    ended the ids of those that were known here
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(N) in the sessions of the user and the keys
]]
local state = KEYS[1]
local nonce = ARGV[1]
-- @include shared/user_state
local user = read_state(state)
local ended = { 'ended' }
-- A repeat must not end who logged in since. No call comes a day late.
if user.tombstones[nonce] then
  add_buried(user, nonce, ended)
  return ended
end
local till = now + 86400000
local set = { 'v', version_of(nonce), 't:' .. nonce, pack_tombstone(till, nonce) }
for id, session in pairs(user.sessions) do
  ended[#ended + 1] = id
  bury(session, nonce, set)
end
return write_state(state, user, set, till, true) or ended
