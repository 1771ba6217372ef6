--[[
  rate/reset: fill the bucket. A second execution fills it again, whatever was taken in between.

  KEYS   bucket  string as of rate/check
  GIVES  int     1 it is full now, 0 it was full
  FAILS  WRONGTYPE, BADVALUE
  REPEAT counts
  COST   O(1)
]]
local bucket = KEYS[1]
-- @include shared/bucket
-- What is not a bucket stays.
if not full_at(bucket) then
  return redis.error_reply(FOREIGN)
end
return redis.call('DEL', bucket)
