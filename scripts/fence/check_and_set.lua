--[[
  fence/check_and_set: set the resource, unless a newer fence has set it before.

  KEYS   resource  any type, becomes a string
         record    string: the newest fence that has set it, colon, the order of that write
  ARGV   value     what it becomes
         fence     the writer's fence
         order     above that of the writer's calls before
  GIVES  int       0 set, newest the newer fence that has set it, -1 overtaken by a later write under
                   this fence
  FAILS  WRONGTYPE, BADVALUE, OOM
  REPEAT same
  COST   O(1)
]]
local resource = KEYS[1]
local record = KEYS[2]
local value = ARGV[1]
local fence = tonumber(ARGV[2])
local order = tonumber(ARGV[3])
local newest, last = string.match(redis.call('GET', record) or '0:0', '^(%d+):(%d+)$')
if not newest then
  return redis.error_reply('BADVALUE the record of fences holds a string that no write left')
end
newest, last = tonumber(newest), tonumber(last)
if fence < newest then
  return newest
end
-- Else a call that is executed twice would undo what its holder wrote in between.
if fence == newest and order < last then
  return -1
end
redis.call('SET', resource, value)
redis.call('SET', record, string.format('%.0f:%.0f', fence, order))
return 0
