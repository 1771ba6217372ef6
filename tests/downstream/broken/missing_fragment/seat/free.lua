--[[
  seat/free: take a seat from whoever has it.

  KEYS   seat  string: the guest
  GIVES  int   1 it was taken, 0 it was free
  REPEAT same
  COST   O(1)
]]
local seat = KEYS[1]
-- @include shared/absent
return redis.call('DEL', seat)
