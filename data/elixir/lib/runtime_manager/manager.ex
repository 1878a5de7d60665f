# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Manager do
  @moduledoc """
  The process that stands for the runtime inside the node.

  The manager side starts it with `initialize`; the session watches it, and the node ends when it
  ends, for whatever reason. What clients will do in a runtime belongs under this process, so that
  ending it ends all of that.
  """

  use GenServer

  @doc "Starts the process, not linked to the caller, under the name of this module."
  @spec start(String.t()) :: {:ok, pid()} | {:error, term()}
  def start(id), do: :gen_server.start({:local, __MODULE__}, __MODULE__, id, [])

  @doc "The id of the runtime that this node is."
  @spec id() :: String.t()
  def id, do: :gen_server.call(__MODULE__, :id)

  @impl true
  def init(id), do: {:ok, id}

  @impl true
  def handle_call(:id, _from, id), do: {:reply, id, id}
end
