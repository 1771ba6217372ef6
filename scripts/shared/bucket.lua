local FOREIGN = 'BADVALUE the key holds a string that no rate limit wrote'

-- The server's clock in microseconds.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- When the bucket is full again, zero where it has been for long; nothing for a foreign string.
local function full_at(bucket)
  local at = redis.call('GET', bucket)
  if not at then
    return 0
  end
  return #at <= 16 and at:find('^%d+$') and tonumber(at)
end

-- Takes from the bucket if it has as much: what is to be told, and when it is full again if that is
-- to be kept. Nothing for a foreign string.
local function take(bucket, spend, horizon, now)
  local at = full_at(bucket)
  if not at then
    return
  end
  local empty = now + horizon
  local after = math.min(math.max(at, now), empty) + spend
  if after <= empty then
    return after - now, after
  end
  -- A clock that stepped back, or a quota that was greater, left an end that is too far off. It is
  -- brought near, or each later call would find it as far off as this one.
  return empty - after, at > empty and empty
end

-- What is kept goes when the bucket is full.
local function keep(bucket, at)
  local expiry = string.format('%.0f', math.ceil(at / 1000))
  redis.call('SET', bucket, string.format('%.0f', at), 'PXAT', expiry)
end
