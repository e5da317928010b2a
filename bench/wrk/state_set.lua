-- SET of a thousand keys in turn to 128 bytes of JSON. -- STORE
local requests, turn = {}, 0

init = function(args)
  local value = '"' .. string.rep("x", 126) .. '"'
  for key = 0, 999 do
    requests[key] = wrk.format("POST", "/v1.0/state/" .. (args[1] or "statestore"),
      {["content-type"] = "application/json"}, '[{"key":"k' .. key .. '","value":' .. value .. '}]')
  end
end

request = function()
  turn = (turn + 1) % 1000
  return requests[turn]
end
