--[[
  lock/peek: who holds the lock, and for how long.

  KEYS   lock    string: token, colon, owner
  GIVES  nil     nil free
         array   holder the value of the lock and the milliseconds left or -1 for no end
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(1)
]]
local lock = KEYS[1]
local holder = redis.call('GET', lock)
if not holder then
  return false
end
return { holder, redis.call('PTTL', lock) }
