--[[
  lock/acquire: take the lock if it is free, or keep it if this holder has it already.

  KEYS   lock    string: token, colon, owner
  ARGV   holder  the caller's token, colon, owner
         ttl     the lease in milliseconds
  GIVES  int     0 acquired, left milliseconds until another's lease ends, -1 held without an end
  FAILS  WRONGTYPE, OOM
  REPEAT same
  COST   O(1)
]]
local lock = KEYS[1]
local holder = ARGV[1]
local ttl = ARGV[2]
-- As it came: to spell a number out again costs the server a fifth of this script.
if redis.call('SET', lock, holder, 'NX', 'PX', ttl) then
  return 0
end
local left = redis.call('PTTL', lock)
if redis.call('GET', lock) ~= holder then
  -- A lease in its last millisecond has 0 left, which would read as acquired.
  return left == 0 and 1 or left
end
-- Written even where the end stays: a WAIT that follows must count a write of this call.
redis.call('PEXPIRE', lock, math.max(tonumber(ttl), left))
return 0
