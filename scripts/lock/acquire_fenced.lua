--[[
  lock/acquire_fenced: take the lock as lock/acquire does, with a fence above all before it.

  KEYS   lock    string: token, colon, owner
         fence   string: the last fence, colon, the lock's value that it was minted for
  ARGV   holder  the caller's token, colon, owner
         ttl     the lease in milliseconds
  GIVES  array   acquired 0 and the fence, held the milliseconds until another's lease ends or -1
                 for no end and 0
  FAILS  WRONGTYPE, BADVALUE, OOM
  REPEAT same
  COST   O(1)
]]
local lock = KEYS[1]
local fence = KEYS[2]
local holder = ARGV[1]
local ttl = tonumber(ARGV[2])
-- @include shared/fence
local held = redis.call('GET', lock)
if held and held ~= holder then
  local left = redis.call('PTTL', lock)
  -- A lease in its last millisecond has 0 left, which would read as acquired.
  return { left == 0 and 1 or left, 0 }
end
local now = microseconds()
local number = find_fence(redis.call('GET', fence), holder, now)
if not number then
  return redis.error_reply(FOREIGN)
end
if held then
  ttl = math.max(ttl, redis.call('PTTL', lock))
  redis.call('PEXPIRE', lock, ttl)
else
  redis.call('SET', lock, holder, 'PX', ARGV[2])
end
keep_fence(fence, number, holder, now, ttl)
return { 0, number }
