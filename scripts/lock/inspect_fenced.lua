--[[
  lock/inspect_fenced: who holds the lock, for how long, and the last fence of its name.

  KEYS   lock    string: token, colon, owner
         fence   string: the last fence, colon, the lock's value that it was minted for
  GIVES  nil     nil free
         array   holder the value of the lock and the milliseconds left or -1 for no end and the value
                 of the counter or an empty string
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(1)
]]
local lock = KEYS[1]
local fence = KEYS[2]
local holder = redis.call('GET', lock)
if not holder then
  return false
end
return { holder, redis.call('PTTL', lock), redis.call('GET', fence) or '' }
