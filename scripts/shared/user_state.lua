-- What one hash holds of a user:
--   v     version: a nonce of whoever changed it, a colon, the server's microseconds
--   c     until when the list of sessions is complete, in milliseconds
--   s:ID  a session, packed: expires, length of the lineage, created, seen, confirmed until, all of them
--         numbers; the lineage, see shared/lineage; the record. Once it is revoked a tombstone in its
--         place, packed: until when, a length that no lineage has; who ended the session, where a
--         repeat has to know: the session that displaced it; the nonce of the call, which has a
--         tombstone of its own then; or the class of a reuse, a line break, which no id has, and the
--         token that was reused
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- Of a lineage: its numbers and three hashes. A payload to replay may follow.
local LINEAGE = 112
-- What a tombstone has in place of such a length.
local DEAD = 65535
-- How the name of a session's field begins. Other fields are left alone: a later release may have them.
local SESSION = string.byte('s')

local function version_of(nonce)
  return nonce .. ':' .. string.format('%.0f', clock[1] * 1000000 + clock[2])
end

-- One that the database tells of, not confirmed yet.
local function new_session(created, expires, record)
  return { created = created, seen = now, expires = expires, confirmed = 0, lineage = '', record = record }
end

local function pack_session(s)
  local head = struct.pack('>I6I2I6I6I6', s.expires, #s.lineage, s.created, s.seen, s.confirmed)
  return head .. s.lineage .. s.record
end

local function unpack_session(packed)
  local expires, length, created, seen, confirmed, at = struct.unpack('>I6I2I6I6I6', packed)
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
  return struct.pack('>I6I2', till, DEAD) .. displacer
end

local function displacer_of(tombstone)
  return string.sub(tombstone, 9)
end

-- One session where it lives; where it was revoked, who ended it.
local function find(key, id)
  local field = 's:' .. id
  local found = redis.call('HMGET', key, field)[1]
  if found then
    local till, length = struct.unpack('>I6I2', found)
    if till > now and length == DEAD then
      return nil, displacer_of(found)
    end
    return till > now and unpack_session(found)
  end
end

-- Reads all of it, without what has expired: fields, and payloads past their window. Who writes what was
-- read removes them. `packed` has sessions as they are stored, by field, and `tombstones` by id;
-- `sessions` has those that are asked for by id, unpacked then.
local function read_state(key)
  local packed, tombstones, expired, trimmed = {}, {}, {}, {}
  local state = { packed = packed, tombstones = tombstones, expired = expired, trimmed = trimmed }
  local byte, sub, unpack = string.byte, string.sub, struct.unpack
  local fields, complete, last = redis.call('HGETALL', key), 0, 0
  for at = 1, #fields, 2 do
    local field, value = fields[at], fields[at + 1]
    local kind = byte(field)
    if kind == SESSION then
      local till, length = unpack('>I6I2', value)
      if till <= now then
        expired[#expired + 1] = field
      elseif length == DEAD then
        tombstones[sub(field, 3)] = value
      else
        packed[field] = value
        if length > LINEAGE and unpack('>I6', value, 37) <= now then
          trimmed[sub(field, 3)] = true
        end
      end
      if till > last then
        last = till
      end
    elseif field == 'v' then
      state.version = value
    elseif field == 'c' then
      complete = tonumber(value)
    end
  end
  state.complete, state.till = complete, math.max(last, complete)
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

-- Writes the fields in `set`, the first of which has not expired, removes what has, deletes the keys that
-- come after, and keeps the hash until the last of it all expires, for `till` and for a minute at least.
-- What may be refused comes before what ends anything: a user may lack a right, and a full server refuses
-- a script's first write unless that removes, so what ends something begins with that.
local function write_state(key, state, set, till)
  local expired = state.expired
  till = math.max(till, state.till, now + 60000)
  for id in pairs(state.trimmed) do
    set[#set + 1] = 's:' .. id
    set[#set + 1] = pack_session(state.sessions[id])
  end
  if set.ends then
    redis.call('HDEL', key, '')
  end
  redis.call('HSET', key, set[1], set[2])
  local refused = attempt(key, state, set, 'PEXPIREAT', key, string.format('%.0f', till))
  for at = 2, #KEYS, 7000 do
    refused = refused or attempt(key, state, set, 'DEL', unpack(KEYS, at, math.min(at + 6999, #KEYS)))
  end
  if refused then
    return refused
  end
  for at = 1, #expired, 7000 do
    redis.call('HDEL', key, unpack(expired, at, math.min(at + 6999, #expired)))
  end
  for at = 3, #set, 7000 do
    redis.call('HSET', key, unpack(set, at, math.min(at + 6999, #set)))
  end
end

-- Ends a session that is known: its tombstone is added to `set`. Until when that stays.
local function bury(state, id, displacer, set)
  local field = 's:' .. id
  local till = struct.unpack('>I6', state.packed[field])
  local tombstone = pack_tombstone(till, displacer)
  set.ends = true
  set[#set + 1] = field
  set[#set + 1] = tombstone
  state.tombstones[id] = tombstone
  state.packed[field], state.sessions[id], state.trimmed[id] = nil, nil, nil
  return till
end

-- Adds the ids of those that a session displaced, or a call ended, for a repeat that tells the same.
local function add_buried(state, by, ids)
  for id, tombstone in pairs(state.tombstones) do
    if displacer_of(tombstone) == by and id ~= by then
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
