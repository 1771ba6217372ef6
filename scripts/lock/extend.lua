--[[
  lock/extend: move the end of the lease later, never earlier, if the token still owns the lock.

  KEYS   lock    string: token, colon, owner
  ARGV   holder  the caller's token, colon, owner
         ttl     the lease from now on, in milliseconds
  GIVES  int     left milliseconds until the lease ends, 0 no longer ours
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(1)
]]
local lock = KEYS[1]
local holder = ARGV[1]
local ttl = tonumber(ARGV[2])
if redis.call('GET', lock) ~= holder then
  return 0
end
local left = math.max(ttl, redis.call('PTTL', lock))
redis.call('PEXPIRE', lock, left)
return left
