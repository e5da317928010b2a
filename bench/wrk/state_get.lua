-- GET of a thousand keys in turn; state_set.lua writes them. -- STORE
local requests, turn = {}, 0

init = function(args)
  for key = 0, 999 do
    requests[key] = wrk.format("GET", "/v1.0/state/" .. (args[1] or "statestore") .. "/k" .. key)
  end
end

request = function()
  turn = (turn + 1) % 1000
  return requests[turn]
end
