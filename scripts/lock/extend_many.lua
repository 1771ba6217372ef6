--[[
  lock/extend_many: move the end of each of these leases later, as lock/extend does with one.

  KEYS   lock...    strings: token, colon, owner
  ARGV   holder...  for each lock the caller's token, colon, owner, and the lease in milliseconds
  GIVES  array      left for each the milliseconds until its lease ends, 0 no longer ours
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(N) in the locks
]]
local ours = {}
-- All are read first: a key of another type fails the call while nothing is extended.
for i, lock in ipairs(KEYS) do
  ours[i] = redis.call('GET', lock) == ARGV[2 * i - 1]
end
local told = {}
for i, lock in ipairs(KEYS) do
  told[i] = 0
  if ours[i] then
    told[i] = math.max(tonumber(ARGV[2 * i]), redis.call('PTTL', lock))
    redis.call('PEXPIRE', lock, told[i])
  end
end
return told
