-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Plain Lua has neither sockets nor JSON: two pipes and a few patterns do.
local from, to = assert(io.open("/dev/fd/3", "r")), assert(io.open("/dev/fd/4", "w"))
local ref = assert(os.getenv("RUNTIME_MANAGER_INIT_REF"))
local pid = assert(io.open("/proc/self/stat")):read("n")

local function send(format, ...)
  to:write(('{"jsonrpc":"2.0",' .. format .. "}\n"):format(...))
  to:flush()
end

io.stdout:setvbuf("line")
send('"method":"node_started","params":{"protocol":1,"init_ref":"%s","pid":%d,"capabilities":{}}', ref, pid)
for line in from:lines() do -- ends when the manager is gone
  local method, id = line:match('"method"%s*:%s*"([%w_]+)"'), line:match('"id"%s*:%s*(%d+)')
  if method == "node_initialized" then
    assert(line:match('"init_ref"%s*:%s*"(%w+)"') == ref)
    print("ready")
  elseif method == "initialize" or method == "ping" or method == "status" or method == "shutdown" then
    send('"id":%d,"result":{}', id)
    if method == "shutdown" then break end
  elseif method and id then
    send('"id":%d,"error":{"code":-32601,"message":"unknown method"}', id)
  end
end
