-- Whether a seat is a guest's.
local function is_theirs(seat, guest)
  return redis.call('GET', seat) == guest
end
