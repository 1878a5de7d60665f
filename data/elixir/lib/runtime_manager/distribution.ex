# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Distribution do
  @moduledoc """
  Makes the node one that other nodes can connect to.

  Done at run time and not by flags, so that the cookie is made here and never is on a command line,
  in a file or in the environment. The node is hidden, since it has no business in the meshes of
  those who connect to it.

  A node listens on loopback unless told otherwise, and its name must then lead there: the machine's
  own name often does not (Debian resolves it to 127.0.1.1, others to an address of the network).
  """

  alias RuntimeManager.{Epmd, Secret}

  @typedoc "What a client needs to connect."
  @type connection :: %{node: String.t(), cookie: String.t(), port: :inet.port_number()}

  @doc "Starts distribution as the settings ask for it; `nil` if they ask for none."
  @spec start(RuntimeManager.Settings.t()) :: {:ok, connection() | nil} | {:error, String.t()}
  # Should somebody make the node distributed by hand, it is still on loopback unless asked.
  def start(%{distribution: :none} = settings) do
    :application.set_env(:kernel, :inet_dist_use_interface, settings.listen)
    {:ok, nil}
  end

  def start(settings) do
    cookie = Secret.cookie()
    Epmd.prepare(cookie, settings.epmd)
    :application.set_env(:kernel, :inet_dist_use_interface, settings.listen)

    with {:ok, host} <- host(settings),
         name = :erlang.binary_to_atom("runtime_manager_#{settings.id}@#{host}"),
         {:ok, _} <- :net_kernel.start(name, options(settings.distribution)) do
      # Without our epmd module the node would already listen, under a cookie of somebody else.
      if :erlang.get_cookie() == cookie and Epmd.port() != nil,
        do: {:ok, %{node: text(name), cookie: text(cookie), port: Epmd.port()}},
        else: {:error, "distribution was started without the flags that it needs"}
    else
      {:error, message} when is_binary(message) ->
        {:error, message}

      {:error, reason} ->
        {:error, :io_lib.format("cannot start distribution: ~0p", [reason])}
    end
  end

  defp options(:short), do: %{name_domain: :shortnames, hidden: true}
  defp options(:long), do: %{name_domain: :longnames, hidden: true}

  defp host(%{host: host}) when is_binary(host), do: {:ok, host}
  defp host(%{listen: {127, _, _, _}, distribution: :short}), do: {:ok, "localhost"}
  defp host(%{listen: {127, _, _, _} = address, distribution: :long}), do: {:ok, dotted(address)}

  defp host(%{distribution: :short}) do
    {:ok, name} = :inet.gethostname()
    {:ok, name |> :string.lexemes(~c".") |> hd() |> to_string()}
  end

  defp host(%{listen: {0, 0, 0, 0}}) do
    name = to_string(:net_adm.localhost())

    case :binary.match(name, ".") do
      :nomatch -> {:error, "the host has no domain for a long node name: tell the host to use"}
      _ -> {:ok, name}
    end
  end

  defp host(%{listen: address}), do: {:ok, dotted(address)}

  defp dotted(address), do: :erlang.list_to_binary(:inet.ntoa(address))

  defp text(atom), do: :erlang.atom_to_binary(atom)
end
