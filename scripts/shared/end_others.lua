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
  local set = { 'v', version_of(nonce), 's:' .. nonce, pack_tombstone(till, nonce) }
  set.ends = true
  for field in pairs(user.packed) do
    local id = string.sub(field, 3)
    if id ~= stays then
      ended[#ended + 1] = id
      bury(user, id, nonce, set)
    end
  end
  return write_state(key, user, set, till) or ended
end
