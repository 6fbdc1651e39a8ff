--- Contexts for TLS, and putting it on connections, for programs.
---
--- SPDX-License-Identifier: MIT

local tls = require "green.net.tls"

return {context = tls.context, wrap = tls.wrap, library = tls.library}
