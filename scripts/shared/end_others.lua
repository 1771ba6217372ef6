-- Ends all sessions that are known but one, in the name of a call: their ids, or what was refused.
local function end_others(key, stays, nonce)
  local user = read_state(key)
  local ended = { 'ended' }
  -- A repeat must not end who logged in since. No call comes a day late.
  if user.tombstones[nonce] then
    add_buried(user, nonce, ended)
    return ended
  end
  local till = now + 86400000
  local set = { 'v', version_of(nonce), 't:' .. nonce, pack_tombstone(till, nonce) }
  local at, sub, remove, spared = 1, string.sub, user.expired, 's:' .. stays
  for field, packed in pairs(user.packed) do
    if field ~= spared then
      local id = sub(field, 3)
      at = at + 1
      ended[at] = id
      set[at * 2 + 1] = 't:' .. id
      set[at * 2 + 2] = sub(packed, 13, 18) .. nonce
      remove[#remove + 1] = field
      user.trimmed[id] = nil
    end
  end
  return write_state(key, user, set, till, true) or ended
end
