--[[
  cache/delete_many: delete keys of any type, all of them at one instant.

  KEYS   key...  any type, absent ones too
  GIVES  int     deleted how many of them there were
  REPEAT same
  COST   O(N) in the keys and in the elements of those that hold collections
]]
local deleted = 0
-- unpack() takes fewer than 8000 values.
for first = 1, #KEYS, 7000 do
  local last = math.min(first + 6999, #KEYS)
  deleted = deleted + redis.call('DEL', unpack(KEYS, first, last))
end
return deleted
