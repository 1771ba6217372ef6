--[[
  seat/count: how many of these seats a guest has.

  KEYS   seat...  string: the guest
  ARGV   guest    the guest's name
  GIVES  int      count of the seats
  FAILS  WRONGTYPE
  REPEAT same
  COST   O(N) in the seats
]]
local guest = ARGV[1]
-- @include shared/is_theirs
local count = 0
for _, seat in ipairs(KEYS) do
  if is_theirs(seat, guest) then
    count = count + 1
  end
end
return count
