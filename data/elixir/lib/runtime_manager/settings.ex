# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Settings do
  @moduledoc """
  What the manager told this node in its environment.

  Taken once and removed from the environment, so that a program started from the node doesn't take
  itself for the runtime. `RUNTIME_MANAGER_ID` stays: any process may know where it runs.

  Nothing here and on the way to hello calls Elixir's own modules where Erlang does the same: to load
  `String`, `Enum` and `System` (and `:string`, with all of Unicode) takes longer than the rest of a
  handshake, and the manager waits for it.
  """

  @type t :: %{
          id: String.t(),
          init_ref: String.t(),
          socket: String.t(),
          timeout_ms: non_neg_integer(),
          distribution: :short | :long | :none,
          host: String.t() | nil,
          listen: :inet.ip4_address(),
          epmd: boolean()
        }

  @taken ~w(INIT_REF SOCKET DEADLINE_USEC TIMEOUT_USEC DISTRIBUTION HOST LISTEN EPMD)
  @default_timeout_ms 10_000
  @longest_timer_ms 0xFFFFFFFF

  @doc "Reads the settings and removes from the environment what only the handshake needs."
  @spec take() :: {:ok, t()} | {:error, String.t()}
  def take do
    settings = read(&get_env("RUNTIME_MANAGER_" <> &1))
    for name <- @taken, do: :os.unsetenv(:unicode.characters_to_list("RUNTIME_MANAGER_" <> name))
    settings
  end

  defp get_env(name) do
    case :os.getenv(:unicode.characters_to_list(name)) do
      false -> nil
      value -> :unicode.characters_to_binary(value)
    end
  end

  @doc "Reads the settings through `get`, which is given each name without its prefix."
  @spec read((String.t() -> String.t() | nil)) :: {:ok, t()} | {:error, String.t()}
  def read(get) do
    with {:ok, id} <- required(get, "ID"),
         {:ok, init_ref} <- required(get, "INIT_REF"),
         {:ok, socket} <- required(get, "SOCKET"),
         {:ok, distribution} <- distribution(get.("DISTRIBUTION")),
         {:ok, listen} <- listen(get.("LISTEN")),
         {:ok, epmd} <- epmd(get.("EPMD")) do
      {:ok,
       %{
         id: id,
         init_ref: init_ref,
         socket: socket,
         timeout_ms: timeout_ms(get.("DEADLINE_USEC"), get.("TIMEOUT_USEC")),
         distribution: distribution,
         host: present(get.("HOST")),
         listen: listen,
         epmd: epmd
       }}
    end
  end

  defp required(get, name) do
    case present(get.(name)) do
      nil ->
        {:error,
         "RUNTIME_MANAGER_#{name} is not set: this node must be started by Runtime Manager"}

      value ->
        {:ok, value}
    end
  end

  defp present(value) when value in [nil, ""], do: nil
  defp present(value), do: value

  defp distribution(value) when value in [nil, "", "short"], do: {:ok, :short}
  defp distribution("long"), do: {:ok, :long}
  defp distribution("none"), do: {:ok, :none}

  defp distribution(value),
    do: {:error, "RUNTIME_MANAGER_DISTRIBUTION is #{value}: use short, long or none"}

  defp listen(value) when value in [nil, ""], do: {:ok, {127, 0, 0, 1}}

  defp listen(value) do
    case :inet.parse_ipv4strict_address(:unicode.characters_to_list(value)) do
      {:ok, address} -> {:ok, address}
      {:error, _} -> {:error, "RUNTIME_MANAGER_LISTEN is #{value}: use an IPv4 address"}
    end
  end

  defp epmd(value) when value in [nil, "", "auto"], do: {:ok, true}
  defp epmd("never"), do: {:ok, false}
  defp epmd(value), do: {:error, "RUNTIME_MANAGER_EPMD is #{value}: use auto or never"}

  # The deadline is a time of CLOCK_MONOTONIC, which Erlang shows but does not promise to use on
  # every system. The second figure was right when the process was started.
  defp timeout_ms(deadline, timeout) do
    with nil <- until(integer(deadline)), nil <- since_start(integer(timeout)) do
      @default_timeout_ms
    else
      ms -> ms |> max(0) |> min(@longest_timer_ms)
    end
  end

  defp until(nil), do: nil

  defp until(deadline) do
    source = :maps.from_list(:erlang.system_info(:os_monotonic_time_source))

    if :maps.get(:clock_id, source, nil) == :CLOCK_MONOTONIC do
      now = :erlang.convert_time_unit(source.time, :native, :microsecond)
      div(deadline - now, 1000)
    end
  end

  defp since_start(nil), do: nil

  defp since_start(timeout) do
    age = :erlang.monotonic_time() - :erlang.system_info(:start_time)
    div(timeout, 1000) - :erlang.convert_time_unit(age, :native, :millisecond)
  end

  defp integer(nil), do: nil

  defp integer(text) do
    :erlang.binary_to_integer(text)
  rescue
    ArgumentError -> nil
  end
end
