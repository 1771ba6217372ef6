--[[
  session/revoke: end sessions for good, and delete cached keys with them.

  KEYS   state       hash: all of a user
         also...     keys to delete, of any type
  ARGV   nonce       of the caller, for a new version
         longest     how long a session lasts that is not known here, in milliseconds
         session...  ids
  GIVES  array       ended the ids of those that were known here
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(N) in the sessions of the user and the keys
]]
local state = KEYS[1]
local nonce = ARGV[1]
local longest = tonumber(ARGV[2])
-- @include shared/user_state
local user = read_state(state)
local ended, set, till = { 'ended' }, { 'v', version_of(nonce), ends = true }, now
for at = 3, #ARGV do
  local id = ARGV[at]
  if user.sessions[id] then
    ended[#ended + 1] = id
    bury(user, id, '', set)
  elseif not user.tombstones[id] then
    till = now + longest
    set[#set + 1] = 's:' .. id
    set[#set + 1] = pack_tombstone(till, '')
  end
end
return write_state(state, user, set, till) or ended
