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
-- @include shared/end_others
return end_others(state, '', nonce)
