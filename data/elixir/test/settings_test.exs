# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.SettingsTest do
  use ExUnit.Case, async: true

  alias RuntimeManager.Settings

  @required %{"ID" => "a", "INIT_REF" => "r", "SOCKET" => "/s"}

  defp read(variables), do: Settings.read(&Map.merge(@required, variables)[&1])

  test "has a safe default for all that is not required" do
    assert {:ok,
            %{id: "a", init_ref: "r", socket: "/s", timeout_ms: 10_000, distribution: :short} =
              settings} = read(%{})

    assert %{host: nil, listen: {127, 0, 0, 1}, epmd: true} = settings
  end

  test "takes an empty value for one that is not set" do
    assert read(%{"HOST" => "", "LISTEN" => "", "EPMD" => "", "DISTRIBUTION" => ""}) == read(%{})
    assert {:error, "RUNTIME_MANAGER_ID is not set" <> _} = read(%{"ID" => ""})
  end

  test "reads what a kind can set" do
    assert {:ok, settings} =
             read(%{
               "DISTRIBUTION" => "long",
               "HOST" => "h",
               "LISTEN" => "10.0.0.1",
               "EPMD" => "never"
             })

    assert %{distribution: :long, host: "h", listen: {10, 0, 0, 1}, epmd: false} = settings
    assert {:ok, %{distribution: :none}} = read(%{"DISTRIBUTION" => "none"})
  end

  test "refuses what it can't use, and says what it could" do
    assert {:error, "RUNTIME_MANAGER_DISTRIBUTION is x: use short, long or none"} =
             read(%{"DISTRIBUTION" => "x"})

    assert {:error, "RUNTIME_MANAGER_LISTEN is x: use an IPv4 address"} = read(%{"LISTEN" => "x"})
    assert {:error, "RUNTIME_MANAGER_EPMD is x: use auto or never"} = read(%{"EPMD" => "x"})
  end

  test "prefers the deadline to the time that was left at the start" do
    source = Map.new(:erlang.system_info(:os_monotonic_time_source))
    now = :erlang.convert_time_unit(source.time, :native, :microsecond)
    times = %{"DEADLINE_USEC" => "#{now + 5_000_000}", "TIMEOUT_USEC" => "900000000"}
    assert {:ok, %{timeout_ms: ms}} = read(times)
    assert ms in 4_000..5_000
    assert {:ok, %{timeout_ms: 0}} = read(%{times | "DEADLINE_USEC" => "#{now - 1_000_000}"})

    assert {:ok, %{timeout_ms: ms}} = read(%{times | "DEADLINE_USEC" => "soon"})
    assert ms in 1..900_000
  end

  test "an endless deadline is a long one" do
    assert {:ok, %{timeout_ms: 0xFFFFFFFF}} = read(%{"DEADLINE_USEC" => "18446744073709551615"})
  end
end
