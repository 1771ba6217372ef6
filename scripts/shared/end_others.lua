-- Ends all sessions that are known but one, in the name of a call: their ids, or what was refused.
local function end_others(key, stays, nonce)
  local user = read_state(key)
  local ended = { 'ended' }
  -- A repeat must not end who logged in since. No call comes a day late.
  if user.tombstones[nonce] then
    add_buried(user, nonce, ended)
    return ended
  end
  local mark = pack_tombstone(now + 86400000, nonce)
  local set = { 'v', version_of(nonce), 's:' .. nonce, mark, ends = true }
  -- What bury does, for many. They expire at different times and have all else in common.
  local at, sub, spared, common = 1, string.sub, 's:' .. stays, string.sub(mark, 7)
  for field, packed in pairs(user.packed) do
    if field ~= spared then
      at = at + 1
      ended[at] = sub(field, 3)
      set[at * 2 + 1] = field
      set[at * 2 + 2] = sub(packed, 1, 6) .. common
    end
  end
  for id in pairs(user.trimmed) do
    user.trimmed[id] = id == stays or nil
  end
  return write_state(key, user, set, now + 86400000) or ended
end
