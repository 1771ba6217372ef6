--[[
  seat/claim: give a seat to a guest, if nobody has it.

  KEYS   seat   string: the guest
  ARGV   guest  the guest's name
  GIVES  int    1 it is the guest's, 0 another has it
  FAILS  WRONGTYPE, OOM
  REPEAT same
  COST   O(1)
]]
local seat = KEYS[1]
local guest = ARGV[1]
-- @include shared/is_theirs
if redis.call('SETNX', seat, guest) == 1 or is_theirs(seat, guest) then
  return 1
end
return 0
