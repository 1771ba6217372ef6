--[[
  rate/peek: how much of a bucket is spent, and nothing changes.

  KEYS   bucket   string as of rate/check
  ARGV   horizon  the microseconds in which an empty bucket fills
  GIVES  int      0 full, left microseconds until it is full again
  FAILS  WRONGTYPE, BADVALUE
  REPEAT same
  COST   O(1)
]]
local bucket = KEYS[1]
local horizon = tonumber(ARGV[1])
-- @include shared/bucket
local at = full_at(bucket)
if not at then
  return redis.error_reply(FOREIGN)
end
return math.min(math.max(at - clock(), 0), horizon)
