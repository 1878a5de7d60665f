# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.FakeManager do
  @moduledoc """
  Starts a real node the way the kind does, and plays the manager's side by hand.

  Every wait has a limit, and a failed one shows what the node printed.
  """

  import ExUnit.Assertions
  alias RuntimeManager.JSON

  @limit_ms 20_000
  @home Path.expand("../..", __DIR__)

  defstruct [:port, :listener, :directory, :ref, :id, :codec, :socket, :os_pid]

  @doc """
  Starts a node. Options: `:timeout_ms` until the deadline, `:env` for more variables,
  `:arguments`, `:elixir`, the executable to start it with, and `:code`, Erlang that the node runs
  once it has a Manager, and `:script`, to use instead of the `start-node` under test.
  """
  def start(options \\ []) do
    directory = Path.join(System.tmp_dir!(), "rm-#{random()}")
    File.mkdir_p!(directory)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(directory) end)
    path = Path.join(directory, "socket")

    {:ok, listener} =
      :gen_tcp.listen(0, [
        :binary,
        ifaddr: {:local, path},
        active: false,
        packet: :line,
        buffer: 65_536
      ])

    timeout = Keyword.get(options, :timeout_ms, 15_000)

    manager = %__MODULE__{
      listener: listener,
      directory: directory,
      ref: random(),
      id: random(),
      codec: JSON.codec()
    }

    environment =
      Map.merge(
        %{
          "RUNTIME_MANAGER_ID" => manager.id,
          "RUNTIME_MANAGER_INIT_REF" => manager.ref,
          "RUNTIME_MANAGER_SOCKET" => path,
          "RUNTIME_MANAGER_TIMEOUT_USEC" => "#{timeout * 1000}",
          "RUNTIME_MANAGER_DEADLINE_USEC" => "#{monotonic_usec() + timeout * 1000}",
          # A dump of a crash belongs to the test that caused it.
          "ERL_CRASH_DUMP" => Path.join(directory, "erl_crash.dump")
        },
        Map.merge(code(options[:code], directory), Keyword.get(options, :env, %{}))
      )

    elixir = Keyword.get_lazy(options, :elixir, fn -> System.find_executable("elixir") end)

    port =
      Port.open(
        {:spawn_executable, System.find_executable("sh")},
        [
          :binary,
          :exit_status,
          :stderr_to_stdout,
          args: [
            Keyword.get_lazy(options, :script, &node_script/0),
            elixir | Keyword.get(options, :arguments, [])
          ],
          env:
            for {name, value} <- environment do
              {to_charlist(name), if(value, do: to_charlist(value), else: false)}
            end
        ]
      )

    {:os_pid, os_pid} = Port.info(port, :os_pid)

    ExUnit.Callbacks.on_exit(fn ->
      System.cmd("kill", ["-KILL", "#{os_pid}"], stderr_to_stdout: true)
    end)

    %{manager | port: port, os_pid: os_pid}
  end

  @doc "Waits for the connection."
  def accept(manager) do
    case :gen_tcp.accept(manager.listener, @limit_ms) do
      {:ok, socket} -> %{manager | socket: socket}
      {:error, reason} -> flunk("no connection (#{reason}), the node printed: #{output()}")
    end
  end

  @doc "Waits for a message."
  def receive_message(manager) do
    case :gen_tcp.recv(manager.socket, 0, @limit_ms) do
      {:ok, line} ->
        {:ok, message} = JSON.decode(manager.codec, line)
        message

      {:error, reason} ->
        flunk("no message (#{reason}), the node printed: #{output()}")
    end
  end

  @doc "Sends a message, or a string as it is."
  def send_message(manager, text) when is_binary(text),
    do: :ok = :gen_tcp.send(manager.socket, text)

  def send_message(manager, message) do
    message = Map.put(message, "jsonrpc", "2.0")
    send_message(manager, IO.iodata_to_binary([JSON.encode(manager.codec, message), "\n"]))
  end

  @doc "Sends a request and waits for its answer."
  def request(manager, id, method, params \\ %{}) do
    send_message(manager, %{"id" => id, "method" => method, "params" => params})
    receive_message(manager)
  end

  @doc "Connection, `node_started` and `initialize`; returns what both sides said."
  def initialize(manager) do
    manager = accept(manager)
    hello = receive_message(manager)
    answer = request(manager, 1, "initialize", %{"id" => manager.id, "protocol" => 1})
    {manager, hello, answer}
  end

  @doc "The whole handshake."
  def handshake(manager) do
    {manager, hello, answer} = initialize(manager)

    send_message(manager, %{
      "method" => "node_initialized",
      "params" => %{"init_ref" => manager.ref}
    })

    {manager, hello, answer}
  end

  @doc "Waits for the end of the node; returns its exit status and all that it printed."
  def ended(manager) do
    port = manager.port

    receive do
      {^port, {:exit_status, status}} -> {status, without_greeting(output())}
    after
      @limit_ms -> flunk("the node does not end, it printed: #{output()}")
    end
  end

  @doc "What the node has printed so far."
  def output(text \\ "") do
    receive do
      {port, {:data, data}} when is_port(port) -> output(text <> data)
    after
      0 -> text
    end
  end

  @doc "Without the line that every node prints when it is ready."
  def without_greeting(text), do: String.replace(text, ~r/^Elixir \S+ \(Erlang.*\n/m, "")

  # Code that the node runs once it has a Manager, which the code knows by that name. From a file,
  # since it would need to be quoted twice.
  defp code(nil, _directory), do: %{}

  defp code(code, directory) do
    path = Path.join(directory, "code")

    File.write!(path, """
    Wait = fun Wait() ->
      case whereis('Elixir.RuntimeManager.Manager') of
        undefined -> timer:sleep(5), Wait();
        Pid -> Pid
      end
    end,
    Manager = Wait(),
    #{code}.
    """)

    %{"ERL_FLAGS" => "-eval 'spawn(fun() -> file:eval(\"#{path}\") end)'"}
  end

  @doc """
  The script that starts nodes: beside the compiled modules under test, where the build put it, and
  in the source for `mix test`.
  """
  def node_script do
    beside =
      RuntimeManager.Boot
      |> :code.which()
      |> Path.dirname()
      |> Path.dirname()
      |> Path.join("start-node")

    if File.exists?(beside), do: beside, else: Path.join(@home, "start-node")
  end

  defp monotonic_usec do
    source = Map.new(:erlang.system_info(:os_monotonic_time_source))
    :erlang.convert_time_unit(source.time, :native, :microsecond)
  end

  defp random, do: Base.encode16(:crypto.strong_rand_bytes(5), case: :lower)
end
