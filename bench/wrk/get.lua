-- GET of one path. -- PATH
local message

init = function(args) message = wrk.format("GET", args[1] or "/") end

request = function() return message end
