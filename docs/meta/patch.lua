---@meta
-- Existing code on green threads.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

---@class green.captured
---@field module string  the module, or "the program"
---@field what string    what it holds: "socket", "socket.tcp", "io.popen" ...
---@field place string   file:line of the function, or the path of the field
---@field variable? string  the variable's name

---@class green.patches
---@field require? function
---@field socket? table
---@field ssl? table
---@field io? table<string, function>  of the functions that were replaced
---@field os? table<string, function>
---@field [integer] green.captured

--- Makes code that exists block the calling green thread alone, where it would
--- have blocked the whole program: the parts that are named, or all if nothing
--- is given. May be called in any order and again. Never switches. Raises for
--- an unknown name, naming it, and for values that are no boolean.
---
--- Modules that were loaded already may hold originals in variables of their
--- own; so may globals, and the functions that are running. They go on with
--- these. They are found and told: the list part of the result has an entry for
--- each, with its module, what it holds and where; tostring makes a line of it.
--- No code of the program runs while they are looked for. Best patch first.
---
--- `green.monkey_patch(false)` takes everything back that the program has not
--- replaced itself meanwhile. Modules that were loaded in between stay green.
---
--- socket: whoever requires "socket", "socket.core", "socket.unix" or
--- "socket.serial" from now on gets green.socket's. The installed
--- "socket.http", ".ftp", ".smtp", ".tp", ".url" and ".headers" and "ssl.https"
--- are loaded once more, on it.
---
--- ssl: whoever requires "ssl" or "ssl.core" gets green.ssl's, and "ssl.https"
--- is loaded once more.
---
--- io: popen, read, lines, write, flush, close, input, output and open of a
--- FIFO, print, and the methods of files wait for pipes, FIFOs, terminals and
--- sockets; files on disk stay as they are. A handle is one of Lua's own files.
--- Threads that read or write the same file take turns. The bytes of a read
--- that is interrupted are read again. A command goes on when the close of
--- its handle is interrupted, and leaves no zombie. Where blocking is refused,
--- as in a finalizer, the stock functions do it.
---
--- os: execute. Interrupted, it leaves the command to run, as above.
---
--- require: a module that another thread is loading is waited for (which is
--- interruptible), and loaded once. If that load fails or its thread is killed,
--- the next in turn loads it. Modules that require each other in a cycle, in
--- one thread or in several, get an error that names modules and threads,
--- unless they are in package.loaded already. Otherwise it is the stock one.
--- bin/luagreen does this by itself.
---@param names? table<"socket"|"ssl"|"io"|"os"|"require", boolean>|false
---@return green.patches originals  what was there before, by name, and a list
--- of those that hold originals
function green.monkey_patch(names) end

--- Was that patched: a name that monkey_patch takes, or a module that it
--- replaces, such as "socket.http"? Never switches. Raises when name is no
--- string.
---@param name string
---@return boolean
function green.is_patched(name) end

--- Loads a module for green threads, and all that it requires, whenever one of
--- its functions does so. The program's own package.loaded stays as it was.
--- Equal names give the same module. All other globals are the program's.
--- Modules in C are shared with the program, except those of LuaSocket and
--- LuaSec, which are replaced. May switch, as a module's body may; raises what
--- require raises.
---
--- More names give more results. A table among the arguments maps names to
--- modules that are found under them: what is loaded then is not shared with
--- other calls.
---@param name string
---@param ... string|table<string, any>
---@return any module
function green.import_patched(name, ...) end

return green
