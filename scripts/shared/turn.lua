-- The queue of a lock: a sorted set of places, by the microsecond in which whoever waits there came. A
-- place says how its holder is told (p and s by PUBLISH and SPUBLISH on the queue's key, colon, channel;
-- n not at all, since it asks), whether it wants a fence (1 or 0), for how many milliseconds the lock is
-- granted to it, its channel, and the holder as the lock has it.
local PLACE = '^([nps]):([01]):(%d+):(%x*):(.+)$'
-- Whoever waits enters again each second, if need be.
local QUEUE_TTL = 60000

-- Grants the lock to the first place whose holder hears of it, and gives that place; those before it are
-- dropped. The lease is short, since nobody may be left to take it up. It stops at `ours`, the place of a
-- caller who takes the lock itself, and gives nothing where nobody is left to hear. The first thing that it
-- writes is accepted by a full server, since what it publishes cannot be taken back.
local function grant_next(lock, queue, fence, ours)
  while true do
    local place = redis.call('ZPOPMIN', queue)[1]
    if not place or place == ours then
      return place
    end
    local way, fenced, lease, channel, holder = string.match(place, PLACE)
    local now = microseconds()
    local number = way and 0
    if fenced == '1' then
      -- Something else that is there is as a counter with a foreign value.
      local counted = redis.pcall('GET', fence)
      number = find_fence(type(counted) == 'table' and 'foreign' or counted, holder, now)
    end
    local heard = number and 1 or 0
    if number and way ~= 'n' then
      local told = string.format('%.0f:%.0f:%s', now, number, holder)
      heard = redis.pcall(way == 's' and 'SPUBLISH' or 'PUBLISH', queue .. ':' .. channel, told)
      if type(heard) == 'table' then
        -- This user may not publish there. The lock is left to whoever asks next.
        return
      end
    end
    if heard > 0 then
      redis.call('SET', lock, holder, 'PX', lease)
      if fenced == '1' then
        keep_fence(fence, number, holder, now, lease)
      end
      return place
    end
  end
end
