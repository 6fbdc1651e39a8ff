-- busted.lua OPTIONS FILE... - busted under the very lua that runs this file:
-- /usr/bin/busted takes whichever `lua` is the system's default.
--
-- SPDX-License-Identifier: MIT
require "busted.runner"{standalone = false}
