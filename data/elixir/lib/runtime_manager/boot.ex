# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Boot do
  @moduledoc """
  Where a node becomes a runtime: the functions named to `erl -s`.

  They return at once; the handshake goes on in `RuntimeManager.Session`. That session is a plain
  process and not a part of any application, so that a project that runs in the node can neither
  stop it nor restart it. Should it ever crash, the node ends: a runtime that nobody can reach any
  more must not stay.
  """

  alias RuntimeManager.{Ending, Session, Settings}

  @doc "Called in a node that Elixir's own command line has already set up."
  @spec start() :: :ok
  def start, do: boot(false)

  @doc """
  Called in a node that `erl` started with Elixir's paths only.

  The session starts the applications that Elixir's command line would have started, after it has
  said hello: the manager does its part meanwhile.
  """
  @spec start_bare() :: :ok
  def start_bare, do: boot(true)

  defp boot(bare?) do
    with {:ok, settings} <- Settings.take(),
         {:ok, session} <- :gen_server.start(Session, {settings, bare?}, []) do
      spawn(fn -> guard(session) end)
      :ok
    else
      {:error, message} -> Ending.stop(1, message)
    end
  end

  defp guard(session) do
    monitor = Process.monitor(session)

    receive do
      {:DOWN, ^monitor, :process, _, _} -> Ending.stop(1, "the session with the manager crashed")
    end
  end
end
