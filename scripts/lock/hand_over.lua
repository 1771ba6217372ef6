--[[
  lock/hand_over: release the lock to the first in its queue, if the token still owns it.

  KEYS   lock    string: token, colon, owner
         queue   sorted set: the places of those who wait
         fence   string: the last fence, colon, the lock's value that it was minted for
  ARGV   holder  the caller's token, colon, owner
  GIVES  int     1 freed, 0 no longer ours
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(log N) in the places, and as much for each place before whose holder is gone
]]
local lock = KEYS[1]
local queue = KEYS[2]
local fence = KEYS[3]
local holder = ARGV[1]
-- @include shared/fence
-- @include shared/turn
if redis.call('GET', lock) ~= holder then
  return 0
end
if not grant_next(lock, queue, fence) then
  redis.call('DEL', lock)
end
return 1
