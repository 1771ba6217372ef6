--[[
  lock/join: take the lock if it is free and nobody came before, or keep it; else enter its queue.

  KEYS   lock    string: token, colon, owner
         queue   sorted set: the places of those who wait
         fence   string: the last fence, colon, the lock's value that it was minted for
  ARGV   holder  the caller's token, colon, owner
         ttl     the lease in milliseconds
         place   the caller's place
         waited  the microseconds since the caller came
  GIVES  array   acquired 0 and the fence or 0 and the time in microseconds, held the milliseconds until
                 another's lease ends or -1 for no end and 0 and the time
  FAILS  WRONGTYPE, BADVALUE, OOM
  REPEAT same
  COST   O(log N) in the places, and as much for each place before whose holder is gone
]]
local lock = KEYS[1]
local queue = KEYS[2]
local fence = KEYS[3]
local holder = ARGV[1]
local ttl = tonumber(ARGV[2])
local place = ARGV[3]
local waited = tonumber(ARGV[4])
-- @include shared/fence
-- @include shared/turn
local held = redis.call('GET', lock)
local counted = redis.call('GET', fence)
local now = microseconds()
local _, fenced = string.match(place, PLACE)
local number = 0
if fenced == '1' then
  number = find_fence(counted, holder, now)
  if not number then
    return redis.error_reply(FOREIGN)
  end
end
local is_alone = not held and redis.call('ZCARD', queue) == 0
if held ~= holder and not is_alone then
  redis.call('ZADD', queue, 'NX', string.format('%.0f', now - waited), place)
  redis.call('PEXPIRE', queue, QUEUE_TTL)
  local first = place
  if not held then
    first = grant_next(lock, queue, fence, place) or place
  end
  if held or first ~= place then
    local left = redis.call('PTTL', lock)
    -- A lease in its last millisecond has 0 left, which would read as acquired.
    return { left == 0 and 1 or left, 0, now }
  end
end
if not is_alone then
  redis.call('ZREM', queue, place)
end
if held then
  ttl = math.max(ttl, redis.call('PTTL', lock))
  redis.call('PEXPIRE', lock, ttl)
else
  redis.call('SET', lock, holder, 'PX', ARGV[2])
end
if fenced == '1' then
  keep_fence(fence, number, holder, now, ttl)
end
return { 0, number, now }
