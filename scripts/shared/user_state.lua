-- What one hash holds of a user:
--   v     version: a nonce of whoever changed it, a colon, the server's microseconds
--   c     until when the list of sessions is complete, in milliseconds
--   s:ID  a session, packed: created, seen, expires, confirmed until, length of the lineage, all of
--         them numbers; the lineage, see shared/lineage; the record
--   t:ID  a tombstone, packed: until when; who ended the session, where a repeat has to know: the
--         session that displaced it; the nonce of the call, which has a tombstone of its own then; or
--         the class of a reuse, a line break, which no id has, and the token that was reused
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- Of a lineage: its numbers and three hashes. A payload to replay may follow.
local LINEAGE = 112
-- How the names of fields begin.
local SESSION, TOMBSTONE = string.byte('st', 1, 2)

local function version_of(nonce)
  return nonce .. ':' .. string.format('%.0f', clock[1] * 1000000 + clock[2])
end

local function pack_session(s)
  local head = struct.pack('>I6I6I6I6I2', s.created, s.seen, s.expires, s.confirmed, #s.lineage)
  return head .. s.lineage .. s.record
end

local function unpack_session(packed)
  local created, seen, expires, confirmed, length, at = struct.unpack('>I6I6I6I6I2', packed)
  return {
    created = created,
    seen = seen,
    expires = expires,
    confirmed = confirmed,
    lineage = string.sub(packed, at, at + length - 1),
    record = string.sub(packed, at + length),
  }
end

local function pack_tombstone(till, displacer)
  return struct.pack('>I6', till) .. displacer
end

-- Reads all of it, without what has expired: fields, and payloads past their window, which whoever
-- writes anyway removes. `packed` has sessions as they are stored, by field, and `tombstones` by id;
-- `sessions` has those that are asked for by id, unpacked then.
local function read_state(key)
  local packed, tombstones, expired, trimmed = {}, {}, {}, {}
  local state = { packed = packed, tombstones = tombstones, expired = expired, trimmed = trimmed }
  local byte, sub, unpack = string.byte, string.sub, struct.unpack
  local fields, complete, last = redis.call('HGETALL', key), 0, 0
  for at = 1, #fields, 2 do
    local field, value = fields[at], fields[at + 1]
    local kind, till = byte(field), 0
    if kind == SESSION then
      local expires, _, length = unpack('>I6I6I2', value, 13)
      if expires > now then
        till = expires
        packed[field] = value
        if length > LINEAGE and unpack('>I6', value, 37) <= now then
          trimmed[sub(field, 3)] = true
        end
      else
        expired[#expired + 1] = field
      end
    elseif kind == TOMBSTONE then
      till = unpack('>I6', value)
      if till > now then
        tombstones[sub(field, 3)] = value
      else
        expired[#expired + 1] = field
      end
    elseif field == 'v' then
      state.version = value
    elseif field == 'c' then
      complete = tonumber(value)
      till = complete
    end
    if till > last then
      last = till
    end
  end
  state.complete, state.till = complete, last
  state.sessions = setmetatable({}, {
    __index = function(sessions, id)
      local found = packed['s:' .. id]
      if found then
        local session = unpack_session(found)
        session.id = id
        if trimmed[id] then
          session.lineage = sub(session.lineage, 1, LINEAGE)
        end
        sessions[id] = session
        return session
      end
    end,
  })
  return state
end

-- Calls what a user may lack the right to. Where it is refused, a hash that was absent before is so again.
local function attempt(key, state, set, ...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    if not state.version then
      redis.call('HDEL', key, set[1])
    end
    return reply
  end
end

-- Writes the fields in `set`, the first of which has not expired, removes what has and the sessions
-- marked as ended, and keeps the hash until the last of it all expires, for `till` and for a minute at
-- least. What may be refused comes before what ends anything: a user may lack a right, and a full server
-- refuses a script's first write unless that removes, so what ends something begins with that.
local function write_state(key, state, set, till, also)
  local ends, remove = also, state.expired
  till = math.max(till, state.till, now + 60000)
  for id in pairs(state.trimmed) do
    if not state.sessions[id].ended then
      set[#set + 1] = 's:' .. id
      set[#set + 1] = pack_session(state.sessions[id])
    end
  end
  for id, session in pairs(state.sessions) do
    if session.ended then
      ends = true
      remove[#remove + 1] = 's:' .. id
    end
  end
  if ends then
    redis.call('HDEL', key, '')
  end
  redis.call('HSET', key, set[1], set[2])
  local refused = attempt(key, state, set, 'PEXPIREAT', key, string.format('%.0f', till))
  for at = 2, also and #KEYS or 0, 7000 do
    refused = refused or attempt(key, state, set, 'DEL', unpack(KEYS, at, math.min(at + 6999, #KEYS)))
  end
  if refused then
    return refused
  end
  for at = 1, #remove, 7000 do
    redis.call('HDEL', key, unpack(remove, at, math.min(at + 6999, #remove)))
  end
  for at = 3, #set, 7000 do
    redis.call('HSET', key, unpack(set, at, math.min(at + 6999, #set)))
  end
end

-- Ends a session that is known: it goes, and a tombstone is added to `set`. Until when that stays.
local function bury(session, displacer, set)
  session.ended = true
  set[#set + 1] = 't:' .. session.id
  set[#set + 1] = pack_tombstone(session.expires, displacer)
  return session.expires
end

-- Adds the ids of those that a session displaced, or a call ended, for a repeat that tells the same.
local function add_buried(state, by, ids)
  for id, tombstone in pairs(state.tombstones) do
    if string.sub(tombstone, 7) == by and id ~= by then
      ids[#ids + 1] = id
    end
  end
end

-- The version of a user of whom nothing is known. It is kept for a minute, so that what is read
-- meanwhile can be brought back under it.
local function mint_version(key, nonce)
  local version = version_of(nonce)
  local nothing = { sessions = {}, expired = {}, trimmed = {}, till = 0 }
  return version, write_state(key, nothing, { 'v', version }, 0)
end
