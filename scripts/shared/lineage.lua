-- The lineage of refresh tokens in a session: generation, when it was rotated, until when the payload
-- is replayed, packed numbers; the hashes of the family's secret, of the current and of the previous
-- token, 32 bytes each; the payload.
local function pack_lineage(l)
  local head = struct.pack('>I4I6I6', l.generation, l.rotated, l.replay)
  return head .. l.family .. l.current .. l.previous .. l.payload
end

local function unpack_lineage(packed)
  local generation, rotated, replay = struct.unpack('>I4I6I6', packed)
  return {
    generation = generation,
    rotated = rotated,
    replay = replay,
    family = string.sub(packed, 17, 48),
    current = string.sub(packed, 49, 80),
    previous = string.sub(packed, 81, 112),
    payload = string.sub(packed, 113),
  }
end

-- Writes the lineage of a session that lives, and nothing else: the hash outlives it already, and what
-- has expired is left to scripts that read all of it.
local function write_lineage(state, session, known, lineage)
  local field = 's:' .. session
  known.lineage = pack_lineage(lineage)
  redis.call('HSET', state, field, pack_session(known))
end

-- What a token is to a lineage: current, replay inside the window after its rotation, superseded by
-- a rotation whose window is open, spent, or unknown.
local function standing(lineage, family, generation, token)
  if lineage.family ~= family or generation > lineage.generation then
    return 'unknown'
  end
  if generation == lineage.generation then
    return token == lineage.current and 'current' or 'unknown'
  end
  if generation == lineage.generation - 1 then
    if token ~= lineage.previous then
      return 'unknown'
    end
    return now < lineage.replay and 'replay' or 'spent'
  end
  -- A window of none leaves no time for a tab that is slower than two others.
  local open = math.max(lineage.replay, lineage.rotated + 5000)
  return now < open and 'superseded' or 'spent'
end
