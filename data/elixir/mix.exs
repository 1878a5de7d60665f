# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.MixProject do
  use Mix.Project

  # For working on these modules (`mix format`, `mix test`). What is installed is compiled by the
  # build itself, see ebin/meson.build.
  def project do
    [
      app: :runtime_manager,
      version: "1.0.0",
      elixir: "~> 1.14",
      deps: []
    ]
  end
end
