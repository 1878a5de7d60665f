# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Epmd do
  @moduledoc """
  Distribution without a port mapper of one's own, given to `erl` as its `-epmd_module`.

  The port mapper that the first distributed node of a machine starts would live, and die, with
  that one runtime, and take the names of all other nodes with it. So a runtime never starts one
  and needs none: who wants to connect is told the port by the manager. Where a port mapper runs
  already, the name is registered there as well, in the background: a slow or broken one delays
  nothing.

  It is also the last place that is asked before the node listens, and sees to it that nothing
  listens before it has a secret cookie. That holds for a node in which a user starts distribution
  by hand, too. Other nodes are looked up as always.
  """

  alias RuntimeManager.Secret

  @app :runtime_manager

  @doc "Sets what the next start of distribution uses."
  @spec prepare(cookie :: atom(), register? :: boolean()) :: :ok
  def prepare(cookie, register?) do
    :application.set_env(@app, :cookie, cookie)
    :application.set_env(@app, :register_name, register?)
  end

  @doc "The port on which this node listens, once it does."
  @spec port() :: :inet.port_number() | nil
  def port, do: :application.get_env(@app, :port, nil)

  # What follows is the interface of an epmd module, as documented for erl_epmd.

  @doc false
  def start_link, do: :erl_epmd.start_link()

  @doc false
  def listen_port_please(_name, _host) do
    # Nothing was set when a user starts distribution by hand. The flag -nocookie keeps the file in
    # the home directory out of this, and would leave a cookie that everybody knows.
    cookie = :application.get_env(@app, :cookie, nil) || Secret.cookie()
    true = :erlang.set_cookie(cookie)
    {:ok, 0}
  end

  @doc false
  def register_node(name, port), do: register_node(name, port, :inet)

  @doc false
  def register_node(name, port, family) do
    :application.set_env(@app, :port, port)

    if :application.get_env(@app, :register_name, true),
      do: spawn(fn -> :erl_epmd.register_node(name, port, family) end)

    {:ok, Secret.creation()}
  end

  @doc false
  defdelegate port_please(name, host), to: :erl_epmd

  @doc false
  defdelegate port_please(name, host, timeout), to: :erl_epmd

  @doc false
  defdelegate address_please(name, host, family), to: :erl_epmd

  @doc false
  defdelegate names(host), to: :erl_epmd
end
