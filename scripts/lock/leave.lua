--[[
  lock/leave: give up a place in the queue, and the lock if it was granted meanwhile.

  KEYS   lock    string: token, colon, owner
         queue   sorted set: the places of those who wait
         fence   string: the last fence, colon, the lock's value that it was minted for
  ARGV   holder  the caller's token, colon, owner
         place   the caller's place
  GIVES  int     1 freed, 0 not ours
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(log N) in the places, and as much for each place before whose holder is gone
]]
local lock = KEYS[1]
local queue = KEYS[2]
local fence = KEYS[3]
local holder = ARGV[1]
local place = ARGV[2]
-- @include shared/fence
-- @include shared/turn
local held = redis.call('GET', lock)
redis.call('ZREM', queue, place)
if held ~= holder then
  return 0
end
if not grant_next(lock, queue, fence) then
  redis.call('DEL', lock)
end
return 1
