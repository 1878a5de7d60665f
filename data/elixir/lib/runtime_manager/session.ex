# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Session do
  @moduledoc """
  The runtime's end of the connection to the manager, from hello to the end of the node.

  | phase           | what ends it                                                   |
  | --------------- | -------------------------------------------------------------- |
  | `:connecting`   | `initialize`: the Manager process is started, the answer sent   |
  | `:initializing` | `node_initialized` with the ref of this start                   |
  | `:ready`        | `shutdown`, the Manager's end, or the end of the connection     |
  | `:stopping`     | the node is gone                                                |

  Both phases of the handshake share one deadline, the manager's own. Until it is `:ready`, any
  message that is not understood ends the node: nothing is lost yet, and the reason is told. Later
  such a message is answered with an error and the session goes on.

  In a bare node the session also starts what Elixir's command line would have started: `elixir`
  while the manager reads hello, `logger`, which takes longer, once `initialize` is answered. What is
  logged before is taken by Erlang's logger, which is there all along.
  """

  use GenServer

  alias RuntimeManager.{Distribution, Ending, JSON, Manager, Protocol}

  @send_timeout_ms 5_000
  @quoted_bytes 200

  @impl true
  def init({settings, bare?}) do
    timer = :erlang.start_timer(settings.timeout_ms, self(), :deadline)

    # The connection holds the cookie, so it is kept in a function: a report of a crash shows all of
    # the state, but doesn't look into that.
    state = %{
      settings: settings,
      timer: timer,
      phase: :connecting,
      bare?: bare?,
      socket: nil,
      received: "",
      codec: JSON.codec(),
      connection: nil,
      manager: nil
    }

    {:ok, state, {:continue, :hello}}
  end

  @impl true
  def handle_continue(:hello, %{settings: settings} = state) do
    with {:ok, connection} <- Distribution.start(settings),
         {:ok, socket} <- connect(settings.socket) do
      state = %{state | socket: socket, connection: fn -> connection end}
      state = send_line(state, hello(connection, state))
      if state.bare?, do: start_elixir()
      {:noreply, listen(state)}
    else
      {:error, message} -> {:noreply, fail(state, message)}
    end
  end

  @impl true
  def handle_info({:tcp, socket, data}, %{socket: socket} = state) do
    case Protocol.split(state.received <> data) do
      {:ok, lines, rest} ->
        state = :lists.foldl(&handle_line/2, %{state | received: rest}, lines)
        {:noreply, listen(state)}

      {:error, :too_long} ->
        {:noreply, fail(state, "the manager sent a message that is too long")}
    end
  end

  def handle_info({:tcp_closed, socket}, %{socket: socket} = state),
    do: {:noreply, fail(state, "the manager closed the connection")}

  def handle_info({:tcp_error, socket, reason}, %{socket: socket} = state),
    do: {:noreply, fail(state, "the connection to the manager failed: #{reason}")}

  def handle_info({:timeout, timer, :deadline}, %{timer: timer} = state),
    do: {:noreply, fail(state, "connection timed out")}

  def handle_info({:DOWN, monitor, :process, _, reason}, %{manager: monitor} = state) do
    case reason do
      :normal -> {:noreply, stop(state, 0, nil)}
      :shutdown -> {:noreply, stop(state, 0, nil)}
      {:shutdown, _} -> {:noreply, stop(state, 0, nil)}
      _ -> {:noreply, fail(state, "the Manager process of this node ended unexpectedly")}
    end
  end

  def handle_info(_, state), do: {:noreply, state}

  defp handle_line(_, %{phase: :stopping} = state), do: state

  defp handle_line(line, state) do
    case Protocol.decode(state.codec, line) do
      {:request, id, method, params} -> request(method, params, id, state)
      {:notification, method, params} -> notification(method, params, state)
      :response -> state
      {:invalid, id, code, reason} -> invalid(line, id, code, reason, state)
    end
  end

  defp invalid(_line, id, code, reason, %{phase: :ready} = state),
    do: send_line(state, Protocol.error(state.codec, id, code, reason))

  defp invalid(line, _id, _code, reason, state) do
    quoted = :binary.part(line, 0, min(byte_size(line), @quoted_bytes))
    fail(state, "the manager sent a message that is #{reason}: #{inspect(quoted)}")
  end

  defp request("initialize", params, id, %{phase: :connecting} = state) do
    with %{"protocol" => 1, "id" => runtime} when is_binary(runtime) <- params,
         {:ok, pid} <- Manager.start(runtime) do
      state = %{state | phase: :initializing, manager: :erlang.monitor(:process, pid)}
      state = send_line(state, Protocol.result(state.codec, id, initialized(state.connection.())))
      if state.bare?, do: spawn(:application, :ensure_all_started, [:logger])
      state
    else
      _ ->
        state
        |> refuse(id, Protocol.invalid_request(), "cannot initialize as asked")
        |> fail("the manager asked for an initialization that this node does not know")
    end
  end

  defp request("initialize", _params, id, state),
    do: refuse(state, id, Protocol.invalid_request(), "already initialized")

  defp request("shutdown", _params, id, state),
    do: state |> answer(id) |> stop(0, nil)

  defp request(method, _params, id, state) when method in ["ping", "status"],
    do: answer(state, id)

  defp request(_method, _params, id, state),
    do: refuse(state, id, Protocol.method_not_found(), "unknown method")

  defp notification(
         "node_initialized",
         %{"init_ref" => ref},
         %{phase: :initializing, settings: %{init_ref: ref}} = state
       ) do
    :erlang.cancel_timer(state.timer)
    greet(state.connection.())
    %{state | phase: :ready, timer: nil}
  end

  defp notification("node_initialized", _params, %{phase: :ready} = state), do: state

  defp notification("node_initialized", _params, state),
    do: fail(state, "the manager called the handshake complete, but not this one")

  defp notification(_method, _params, state), do: state

  defp hello(connection, state) do
    params = %{
      protocol: Protocol.version(),
      init_ref: state.settings.init_ref,
      pid: :erlang.list_to_integer(:os.getpid()),
      capabilities: %{}
    }

    params = if connection, do: Map.put(params, :node, connection.node), else: params
    Protocol.notification(state.codec, "node_started", params)
  end

  # Only here, and never in a notification: this is an answer to the one who asked.
  defp initialized(nil), do: %{}
  defp initialized(connection), do: %{connection: connection}

  # What Elixir's own command line does before it looks at its first argument.
  defp start_elixir do
    {:ok, _} = :application.ensure_all_started(:elixir)
    System.no_halt(true)

    System.argv(
      for argument <- :init.get_plain_arguments(), do: :unicode.characters_to_binary(argument)
    )
  end

  defp connect(path) do
    options = [:binary, active: false, send_timeout: @send_timeout_ms, send_timeout_close: true]

    case :gen_tcp.connect({:local, path}, 0, options) do
      {:ok, socket} -> {:ok, socket}
      {:error, reason} -> {:error, "cannot connect to the manager at #{path}: #{reason}"}
    end
  end

  # The first line of a runtime's output says what it is, as those of iex and erl do.
  defp greet(connection) do
    name = if connection, do: ", #{connection.node}", else: ""
    IO.puts("Elixir #{System.version()} (Erlang/OTP #{System.otp_release()})#{name}")
  end

  # One packet at a time: what the manager sends can't pile up here.
  defp listen(%{phase: :stopping} = state), do: state

  defp listen(state) do
    case :inet.setopts(state.socket, active: :once) do
      :ok -> state
      {:error, _} -> fail(state, "the manager closed the connection")
    end
  end

  defp answer(state, id), do: send_line(state, Protocol.result(state.codec, id, %{}))

  defp refuse(state, id, code, message),
    do: send_line(state, Protocol.error(state.codec, id, code, message))

  # A send that fails is followed by the message that says why the connection is gone.
  defp send_line(state, line) do
    _ = :gen_tcp.send(state.socket, line)
    state
  end

  defp fail(state, message), do: stop(state, 1, message)

  defp stop(%{phase: :stopping} = state, _status, _message), do: state

  defp stop(state, status, message) do
    Ending.stop(status, message)
    %{state | phase: :stopping}
  end
end
