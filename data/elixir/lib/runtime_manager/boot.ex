# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Boot do
  @moduledoc """
  Where a node becomes a runtime: the functions named to `erl -s`.

  They return at once; the handshake goes on in `RuntimeManager.Session`. That session is a plain
  process and not a part of any application, so that a project that runs in the node can neither
  stop it nor restart it. Should it ever crash, the node ends: a runtime that nobody can reach any
  more must not stay.
  """

  alias RuntimeManager.{Distribution, Ending, Epmd, JSON, Manager, PlainJSON, Protocol, Secret}
  alias RuntimeManager.{Session, Settings}

  @all [Distribution, Ending, Epmd, JSON, Manager, PlainJSON, Protocol, Secret, Session, Settings]

  # What a bare node needs until it is initialized: of ours, of Erlang for its connections, and of
  # what Elixir itself uses to start. A module that is missing here is loaded a little later; one
  # that some version doesn't have is passed over.
  @needed [Distribution, Epmd, JSON, PlainJSON, Protocol, Secret, Session, Settings] ++
            [:auth, :erl_epmd, :gen_tcp, :inet_tcp, :inet_tcp_dist, :local_tcp, :local_udp, :re] ++
            [:elixir, :elixir_code_server, :elixir_config, :elixir_sup, Kernel, Macro.Env, System] ++
            [String.Tokenizer, :epp, :erl_anno, :erl_scan, :io, :string, :unicode_util]

  @doc """
  Called before Mix loads a project: since Elixir 1.15 Mix then takes everything off the code path
  that isn't the project's, now and each time it compiles. What is loaded stays.
  """
  @spec load() :: :ok
  def load, do: :ok = :code.ensure_modules_loaded(@all)

  @doc "Called in a node that Elixir's own command line has already set up."
  @spec start() :: :ok
  def start, do: boot(false)

  @doc """
  Called in a node that `erl` started with Elixir's paths only.

  The session starts the applications that Elixir's command line would have started. Loading code is
  most of the work of all this; given a list, Erlang loads it with all processors, where one module
  after the other uses only one.
  """
  @spec start_bare() :: :ok
  def start_bare do
    _ = :code.ensure_modules_loaded(@needed)
    boot(true)
  end

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
    monitor = :erlang.monitor(:process, session)

    receive do
      {:DOWN, ^monitor, :process, _, _} -> Ending.stop(1, "the session with the manager crashed")
    end
  end
end
