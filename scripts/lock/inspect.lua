--[[
  lock/inspect: who holds the lock, for how long, under which fence, and how many wait for it.

  KEYS   lock    string: token, colon, owner
         queue   sorted set: the places of those who wait
         fence   string: the last fence, colon, the lock's value that it was minted for
  GIVES  nil     nil free
         array   holder the value of the lock and the milliseconds left or -1 for no end and the value of
                 the counter or an empty string and how many wait
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(1)
]]
local lock = KEYS[1]
local queue = KEYS[2]
local fence = KEYS[3]
local holder = redis.call('GET', lock)
if not holder then
  return false
end
local left = redis.call('PTTL', lock)
return { holder, left, redis.call('GET', fence) or '', redis.call('ZCARD', queue) }
