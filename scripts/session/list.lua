--[[
  session/list: all sessions of a user, or under which version to fill the list first.

  KEYS   state     hash: all of a user
  ARGV   nonce     of the caller, for a version where there is none
         database  1 where a database is behind, 0 where this is all there is
  GIVES  array     sessions each with its id and its packed field in turn, unfilled the version and the
                   time
  FAILS  WRONGTYPE, OOM
  REPEAT same
  COST   O(N) in the sessions of the user
]]
local state = KEYS[1]
local nonce = ARGV[1]
local database = tonumber(ARGV[2])
-- @include shared/user_state
local user = read_state(state)
if database == 1 and user.complete <= now then
  if user.version then
    return { 'unfilled', user.version, now }
  end
  local version, refused = mint_version(state, nonce)
  return refused or { 'unfilled', version, now }
end
local sessions = { 'sessions' }
for field in pairs(user.packed) do
  local session = user.sessions[string.sub(field, 3)]
  session.lineage = ''
  sessions[#sessions + 1] = session.id
  sessions[#sessions + 1] = pack_session(session)
end
return sessions
