--[[
  rate/check_many: take a cost from each of several buckets, or from none where one has less.

  KEYS   bucket...  strings as of rate/check, each named once
  ARGV   quota...   for each bucket the spend and the horizon of rate/check
  GIVES  array      allowed all as rate/check tells it, denied some negative and nothing was taken
  FAILS  WRONGTYPE, BADVALUE, OOM
  REPEAT counts
  COST   O(N) in the buckets
]]
-- @include shared/bucket
local now = clock()
local told, kept, denied = {}, {}, false
for i, bucket in ipairs(KEYS) do
  told[i], kept[i] = take(bucket, tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i]), now)
  if not told[i] then
    return redis.error_reply(FOREIGN)
  end
  denied = denied or told[i] < 0
end
for i, bucket in ipairs(KEYS) do
  -- Of a denied call only what had to be brought near.
  if kept[i] and (told[i] < 0 or not denied) then
    keep(bucket, kept[i])
  end
end
return told
