-- turns.lua - runs programs by turns, and says what their runs come to.
--
-- The speed of a shared machine drifts within a minute: figures of runs that
-- are seconds apart differ by a factor of two. So what is compared runs A, B,
-- A, B, ... The best run of each is what the machine can do undisturbed, and
-- two neighbouring runs saw the same machine.
--
-- A cell of a subject's table is {command =, runs =}. A run is a table of
-- figures, or has a text: "-" or "failed".
--
-- SPDX-License-Identifier: MIT
local turns = {}

--- Runs each cell once a turn, for plan.least turns, then until there were
--- plan.most or plan.seconds are over. One without a figure is not run again.
---@param cells table[]
---@param plan table  least, most, seconds
---@param run function  of a command; returns a run
---@return table[][]  the runs of each cell, which are in its list, too
function turns.take(cells, plan, run)
  local begun, taken = os.time(), {}
  for i in ipairs(cells) do taken[i] = {} end
  for turn = 1, plan.most do
    if turn > plan.least and os.time() - begun > plan.seconds then break end
    for i, cell in ipairs(cells) do
      local last = cell.runs[#cell.runs]
      if not (last and last.text) then
        local new = run(cell.command)
        table.insert(cell.runs, new)
        table.insert(taken[i], new)
      end
    end
  end
  return taken
end

--- The run with the least figure, or the greatest if more is better. A failure
--- counts for more than any figure: it must be seen.
---@param runs table[]
---@param field string  value or cpu
---@param more? boolean
---@return table?
function turns.best(runs, field, more)
  local best
  for _, new in ipairs(runs) do
    if new.text then return new end
    local figure, former = new[field], best and best[field]
    if not former or figure and (more and figure > former or
                                 not more and figure < former) then
      best = new
    end
  end
  return best
end

--- The median of the ratios of neighbouring runs, if all have a figure.
---@param ours table[]
---@param theirs table[]
---@param field string
---@return number?
function turns.median(ours, theirs, field)
  local ratios = {}
  for i, run in ipairs(ours) do
    local a, b = run[field], theirs[i] and theirs[i][field]
    if not (a and b) then return nil end
    ratios[i] = a / b
  end
  table.sort(ratios)
  local half = (#ratios + 1) / 2
  return #ratios > 0 and
    (ratios[math.floor(half)] + ratios[math.ceil(half)]) / 2 or nil
end

return turns
