--- `luagreen top` counted a character of two columns as one, and its lines
--- broke the page. An address without a port, such as 127.0.0.1, was taken for
--- one with the port 1.
---
--- SPDX-License-Identifier: MIT

local help = require "spec.help"
local page = require "green.watch.page"
local monitor = require "green.watch.monitor"

describe("luagreen top", function()
  it("cuts lines by the columns that they take", function()
    for _, row in ipairs {{"abcdef", 4, "abcd"}, {"日本語", 4, "日本"},
                          {"日本語", 5, "日本"},
                          {"日本語", 6, "日本語"},
                          {"a\u{301}bc", 2, "a\u{301}b"}, {"é", 1, "é"},
                          {"\u{1f600}x", 2, "\u{1f600}"}, {"x", 0, ""},
                          {"\u{301}", 0, "\u{301}"}, {"", 0, ""},
                          {"\xff\xfe", 1, "\xff"}, {"한글", 3, "한"}} do
      assert.equal(row[3], page.cut(row[1], row[2]))
    end
  end)

  it("takes for an address what is one", function()
    for _, address in ipairs {"127.0.0.1", "localhost", "host1", "99999",
                              "host:65536", "-1", "1.5", ":", "", "host:"} do
      assert.matches("an address is host:port or unix:/path",
        monitor.run(address), 1, true)
    end
    local port, _ <close> = help.port()
    for _, address in ipairs {"%d", ":%d", "127.0.0.1:%d", "localhost:%d"} do
      assert.matches("connection refused", monitor.run(address:format(port)))
    end
  end)
end)
