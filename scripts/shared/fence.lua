-- The counter of fences beside a lock: the last fence, a colon, and the holder that it was minted for,
-- as the lock has it. It stays until a day after the lease that it was minted for, and while it is there
-- a server's clock that goes back lets no fence fall. Later the clock alone is enough: whenever the
-- counter ends, the clock is past its fence.
local DAY = 86400000
local FOREIGN = 'BADVALUE the counter of fences holds a string that no lock wrote'

local function microseconds()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The fence of this hold, the one that it has already or else a new one. Nothing where the counter has a
-- foreign value.
local function find_fence(counted, holder, now)
  local last, whose = string.match(counted or '0:', '^(%d+):(.*)$')
  if not last or #last > 16 or tonumber(last) > 9e15 then
    return
  end
  if whose == holder then
    return tonumber(last)
  end
  return math.max(tonumber(last) + 1, now)
end

local function keep_fence(counter, number, holder, now, ttl)
  local ends = math.floor(math.max(now, number) / 1000) + ttl + DAY
  local value = string.format('%.0f:%s', number, holder)
  redis.call('SET', counter, value, 'PXAT', string.format('%.0f', ends))
end
