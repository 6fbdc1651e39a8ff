-- crawler.lua - follows the links of a web site, many fetches at once.
--
--   luagreen examples/crawler.lua [-n fetches] [--ca file] URL
--   luagreen examples/crawler.lua [-n fetches] --serve
--
-- The URL is http://host[:port]/path, or https: then the certificate must be
-- good for the host, and signed by one whom the system trusts, or whom the file
-- names. With --serve it crawls a site of its own: 100 pages, each of which
-- takes 50 ms to answer. It stays on the host it began with and speaks
-- HTTP/1.0.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local LIMIT <const> = 10  -- seconds for one page

------------------------------------------------------------------- fetching --

--- Returns status and body, or nil and the error.
local function fetch(site, path)
  local conn, err = green.connect(site.host, site.port, {tls = site.tls})
  if not conn then return nil, err end
  local _ <close> = conn
  conn:send(("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n"):format(path, site.host))
  local answer
  answer, err = conn:receive "*a"
  if not answer then return nil, err end
  local status, body = answer:match("^HTTP/1%.%d (%d+).-\r\n\r\n(.*)$")
  if not status then return nil, "not HTTP" end
  return math.tointeger(tonumber(status)), body
end

--- The paths on the same host that a page links to.
local function links(body)
  return body:gmatch('href="(/[^"#]*)')
end

------------------------------------------------------------------- crawling --

--- Fetches a page and all that it leads to, at most n at a time: the others
--- wait in the pool.
local function crawl(site, start, n)
  local pool, found = green.pool(n), green.queue()
  local seen, results, under_way = {}, {}, 0

  local function visit(path)
    local began = green.now()
    local status, body = green.with_timeout(LIMIT, fetch, site, path)
    found:put {path = path, status = status, body = body,
      took = green.now() - began}
  end

  local function start_visit(path)
    if seen[path] then return end
    seen[path] = true
    under_way = under_way + 1
    pool:spawn_n(visit, path)
  end

  start_visit(start)
  while under_way > 0 do
    local page = found:get()
    under_way = under_way - 1
    results[#results + 1] = page
    if page.status == 200 then
      for path in links(page.body) do start_visit(path) end
    end
  end
  return results
end

------------------------------------------------------- a site to be crawled --

local PAGES <const>, DELAY <const> = 100, 0.05

--- Page i links to its two children and its parent, the last one to a page
--- that is missing.
local function page(i)
  local text = ("<h1>Page %d</h1>\n"):format(i)
  for _, k in ipairs {2 * i, 2 * i + 1, math.max(i // 2, 1)} do
    if k <= PAGES + 1 then
      text = text .. ('<a href="/%d">page %d</a>\n'):format(k, k)
    end
  end
  return text
end

local function answer(conn)
  local path = (conn:receive "*l" or ""):match("^GET (%S+)")
  for line in conn:lines() do
    if line == "" then break end
  end
  green.sleep(DELAY)
  local i = path and math.tointeger(tonumber(path:sub(2)))
  local status, body = "404 Not Found", "no such page\n"
  if i and i >= 1 and i <= PAGES then status, body = "200 OK", page(i) end
  conn:send(("HTTP/1.0 %s\r\nContent-Length: %d\r\n\r\n%s"):format(status,
    #body, body))
end

local function serve()
  local listener = assert(green.listen("127.0.0.1", 0))
  local _, port = listener:getsockname()
  green.spawn(green.serve, listener, answer)
  return {host = "127.0.0.1", port = port}, "/1"
end

----------------------------------------------------------------------- main --

local function usage()
  io.stderr:write("usage: crawler.lua [-n fetches] [--ca file] "
    .. "(--serve | http[s]://...)\n")
  os.exit(2, true)
end

--- The site and the path of a URL. One context serves all connections: the
--- authorities are read once, and sessions are resumed.
local function site_of(url, ca)
  local s, host, port, path = url:match "^http(s?)://([^/:]+):?(%d*)(/?.*)$"
  if not s then usage() end
  local tls = s == "s" and assert(green.tls.context {cafile = ca}) or nil
  if port == "" then port = tls and 443 or 80 end
  return {host = host, port = port, tls = tls}, path ~= "" and path or "/"
end

local function parse()
  local n, url, ca = 16, nil, nil
  local i = 1
  while arg[i] do
    if arg[i] == "-n" then
      i = i + 1
      n = math.tointeger(tonumber(arg[i])) or usage()
    elseif arg[i] == "--ca" then
      i = i + 1
      ca = arg[i] or usage()
    else
      url = arg[i]
    end
    i = i + 1
  end
  if n < 1 or not url then usage() end
  if url == "--serve" then return n, serve() end
  return n, site_of(url, ca)
end

local n, site, path = parse()
local began = green.now()
local results = crawl(site, path, n)
local took, waited, failed = green.now() - began, 0, 0
for _, p in ipairs(results) do
  waited = waited + p.took
  if p.status ~= 200 then
    failed = failed + 1
    print(("%s: %s"):format(p.path, p.status or p.body))
  end
end
print(("%d pages, %d not there; %.2f s for %.2f s of waiting, %d at once")
  :format(#results, failed, took, waited, n))
