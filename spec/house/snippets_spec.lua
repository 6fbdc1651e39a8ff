--- The programs in the pages of documentation do what the pages say.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"
local snippets = require "spec.snippets"

local dir
setup(function() dir = shell.scratch() end)
teardown(function() shell.run("rm -rf %s", dir) end)

for _, path in ipairs {"README.md", "docs/guide.md", "docs/coming-from.md"} do
  describe(path, function()
    local programs = snippets.programs(path)
    -- readme_spec runs the first program of README.md
    local first = path == "README.md" and 2 or 1

    it("has programs", function() assert.is_true(#programs > 0) end)

    for i = first, #programs do
      it("has a program on line " .. programs[i].line
         .. " that prints what it says", function()
          snippets.check(dir, programs[i])
        end)
    end
  end)
end

for _, path in ipairs {"README.md", "CONTRIBUTING.md", "DESIGN.md",
  "docs/guide.md", "docs/coming-from.md", "docs/reference.md",
  "docs/embedding.md"} do
  describe(path, function()
    it("has no link that leads nowhere", function()
      assert.same({}, snippets.broken_links(path))
    end)
  end)
end

describe("docs/coming-from.md", function()
  local rows = snippets.rows "docs/coming-from.md"

  it("has tables", function() assert.is_true(#rows > 100) end)

  for _, row in ipairs(rows) do
    it(("has %s on line %d, which runs"):format(row.code, row.line),
      function() snippets.check_row(dir, row) end)
  end
end)

describe("a snippet", function()
  local function refused(...)
    local program = {line = 1, path = "page", ...}
    local ok, err = pcall(snippets.check, dir, program)
    assert.is_false(ok)
    return err
  end

  it("may print no other lines than it says, and no fewer", function()
    assert.matches("it printed\n  1\n", refused "print(1)")
    assert.matches("it says\n  1\n  2$", refused("print(1) --> 1", "--> 2"))
    assert.matches("it printed\n  2\n", refused "print(2) --> 1")
  end)

  it("may not fail, and must fail when it says so", function()
    assert.matches("exit status 1;", refused("error 'x'", "--> ..."))
    assert.matches("exit status 0;", refused("print 'lua5.4: x'",
      "--> lua5.4: x"))
  end)

  it("may leave out parts of what it prints", function()
    snippets.check(dir, {line = 1, path = "page",
      "for i = 1, 19 do print(i) end", "--> 1", "--> ...", "--> ...9"})
  end)
end)
