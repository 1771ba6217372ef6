--[[
  rate/check: take a cost from a bucket that fills at the rate of a quota, if it has as much.

  KEYS   bucket   string: when it is full again, microseconds of the server's clock; absent when full
  ARGV   spend    the microseconds in which the cost flows back
         horizon  the microseconds in which an empty bucket fills
  GIVES  int      allowed positive: microseconds until the bucket is full again,
                  denied negative: nothing was taken and so many are left until the cost would pass
  FAILS  WRONGTYPE, BADVALUE, OOM
  REPEAT counts
  COST   O(1)
]]
local bucket = KEYS[1]
local spend = tonumber(ARGV[1])
local horizon = tonumber(ARGV[2])
-- @include shared/bucket
local told, at = take(bucket, spend, horizon, clock())
if not told then
  return redis.error_reply(FOREIGN)
end
if at then
  keep(bucket, at)
end
return told
