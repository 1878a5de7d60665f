# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs all tests on modules that are already compiled: `elixir -pa EBIN run.exs`. `mix test` is for
# working on them.
Code.require_file("test_helper.exs", __DIR__)

for file <- Path.wildcard(Path.join(__DIR__, "*_test.exs")), do: Code.require_file(file)
