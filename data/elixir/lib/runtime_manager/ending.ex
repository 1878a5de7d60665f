# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Ending do
  @moduledoc """
  The one way in which a node ends itself.

  Applications are taken down in order first, as `System.stop/1` does. It does not ask
  `System.no_halt/1`, which only concerns the end of a script. An application that does not come
  down in time holds nothing up: the node then halts.
  """

  @grace_ms 4_000
  @flush_ms 500

  @doc "Ends the node with `status`, telling why on standard error if there is something to tell."
  @spec stop(0..255, String.t() | nil) :: :ok
  def stop(status, message \\ nil) do
    if message, do: :io.put_chars(:standard_error, [message, ?\n])
    spawn(fn -> halt_after_applications(status) end)
    :init.stop(status)
  end

  # When Erlang's own last application comes down, all others are gone. It would now sleep for a
  # second, so that output can be written; waiting for the output itself is faster and surer.
  defp halt_after_applications(status) do
    monitor = Process.monitor(:kernel_safe_sup)

    receive do
      {:DOWN, ^monitor, :process, _, reason} when reason != :noproc ->
        flush(:user)
        flush(:standard_error)
        :erlang.halt(status)
    after
      # Not flushed: whoever should read the output may be what we waited for.
      @grace_ms -> :erlang.halt(status, flush: false)
    end
  end

  # An answer to an empty request means that all earlier ones have been handed to the system.
  defp flush(device) do
    with pid when is_pid(pid) <- Process.whereis(device) do
      monitor = Process.monitor(pid)
      send(pid, {:io_request, self(), monitor, {:put_chars, :unicode, ""}})

      receive do
        {:io_reply, ^monitor, _} -> :ok
        {:DOWN, ^monitor, :process, _, _} -> :ok
      after
        @flush_ms -> :ok
      end
    end
  end
end
