# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.TapFormatter do
  @moduledoc """
  Reports tests in the Test Anything Protocol, one line a test, so that the build counts each.
  """

  use GenServer

  @impl true
  def init(_options), do: {:ok, 0}

  @impl true
  def handle_cast({:test_finished, test}, count) do
    count = count + 1
    name = "#{inspect(test.module)}: #{test.name}" |> String.replace("#", "\\#")
    report(test, count, name)
    {:noreply, count}
  end

  def handle_cast({:module_finished, %{state: {:failed, failures}} = module}, count) do
    IO.puts("not ok #{count + 1} - #{inspect(module.name)}: set up")
    comment(ExUnit.Formatter.format_test_all_failure(module, failures, 1, 100, &plain/2))
    {:noreply, count + 1}
  end

  def handle_cast({:suite_finished, _times}, count) do
    IO.puts("1..#{count}")
    {:noreply, count}
  end

  def handle_cast(_event, count), do: {:noreply, count}

  defp report(%{state: nil}, count, name), do: IO.puts("ok #{count} - #{name}")

  defp report(%{state: {skipped, why}}, count, name) when skipped in [:skipped, :excluded],
    do: IO.puts("ok #{count} - #{name} # SKIP #{why}")

  defp report(%{state: {:failed, failures}} = test, count, name) do
    IO.puts("not ok #{count} - #{name}")
    comment(ExUnit.Formatter.format_test_failure(test, failures, count, 100, &plain/2))
  end

  defp report(_test, count, name), do: IO.puts("not ok #{count} - #{name}")

  defp comment(text), do: for(line <- String.split(text, "\n"), do: IO.puts("# " <> line))

  defp plain(:diff_enabled?, _), do: false
  defp plain(_key, value), do: value
end
