--[[
  lock/release: delete the lock if the token still owns it.

  KEYS   lock    string: token, colon, owner
  ARGV   holder  the caller's token, colon, owner
  GIVES  int     1 freed, 0 no longer ours
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(1)
]]
local lock = KEYS[1]
local holder = ARGV[1]
if redis.call('GET', lock) ~= holder then
  return 0
end
return redis.call('DEL', lock)
