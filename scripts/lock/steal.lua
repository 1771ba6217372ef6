--[[
  lock/steal: take the lock from the holder that was seen, whatever is left of its lease.

  KEYS   lock    string: token, colon, owner
         fence   string: the last fence, colon, the lock's value that it was minted for
  ARGV   from    the value of the lock as it was seen
         seen    that of the counter then, or an empty string
         holder  the caller's token, colon, owner
         ttl     the lease in milliseconds
  GIVES  int     fence stolen under this new fence, 0 another holds it by now or nobody
  FAILS  WRONGTYPE, BADVALUE, OOM
  REPEAT same
  COST   O(1)
]]
local lock = KEYS[1]
local fence = KEYS[2]
local from = ARGV[1]
local seen = ARGV[2]
local holder = ARGV[3]
local ttl = tonumber(ARGV[4])
-- @include shared/fence
local held = redis.call('GET', lock)
local counted = redis.call('GET', fence)
if held == holder then
  ttl = math.max(ttl, redis.call('PTTL', lock))
elseif held ~= from or (counted or '') ~= seen then
  -- The counter tells holds of other software apart, whose locks may all have one value: a call that is
  -- executed twice steals from one of them.
  return 0
end
local now = microseconds()
local number = find_fence(counted, holder, now)
if not number then
  return redis.error_reply(FOREIGN)
end
redis.call('SET', lock, holder, 'PX', ttl)
keep_fence(fence, number, holder, now, ttl)
return number
