--[[
  session/touch: note that a session is in use, not more than once in a while.

  KEYS   state     hash: all of a user
  ARGV   session   id
         debounce  how long that is, in milliseconds
         database  1 where a database is behind, 0 where this is all there is
  GIVES  int       2 noted, 1 noted recently, 0 not known to be active
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(1), and O(N) in the sessions of the user where it notes
]]
local state = KEYS[1]
local session = ARGV[1]
local debounce = tonumber(ARGV[2])
local database = tonumber(ARGV[3])
-- @include shared/user_state
local known = find(state, session)
if not known or (database == 1 and known.confirmed <= now) then
  return 0
end
if now < known.seen + debounce then
  return 1
end
local user = read_state(state)
known = user.sessions[session]
known.seen = now
-- It does not grow, so a full server need not refuse it: see write_state.
redis.call('HDEL', state, '')
return write_state(state, user, { 's:' .. session, pack_session(known) }, known.expires) or 2
