-- Publishes 128 bytes of JSON. -- TOPIC [PUBSUB]
local message

init = function(args)
  message = wrk.format("POST", "/v1.0/publish/" .. (args[2] or "pubsub") .. "/" .. (args[1] or "stored"),
    {["content-type"] = "application/json"}, '{"order":"' .. string.rep("x", 115) .. '"}')
end

request = function() return message end
