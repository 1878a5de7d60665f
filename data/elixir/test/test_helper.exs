# SPDX-License-Identifier: LGPL-2.1-or-later
# The build runs these tests and wants TAP; `mix test` keeps what people are used to.
if System.get_env("RUNTIME_MANAGER_TAP") do
  Code.require_file("support/tap_formatter.exs", __DIR__)
  ExUnit.start(formatters: [RuntimeManager.TapFormatter])
else
  ExUnit.start()
end

Code.require_file("support/fake_manager.exs", __DIR__)
