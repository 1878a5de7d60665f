# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.HandshakeTest do
  use ExUnit.Case, async: true

  import RuntimeManager.FakeManager

  @no_distribution %{"RUNTIME_MANAGER_DISTRIBUTION" => "none"}

  describe "a handshake" do
    test "completes, and shutdown ends the node with status 0" do
      {manager, hello, answer} = start() |> handshake()

      assert %{"jsonrpc" => "2.0", "method" => "node_started", "params" => params} = hello
      refute Map.has_key?(hello, "id")
      assert params["protocol"] == 1
      assert params["init_ref"] == manager.ref
      assert params["node"] == "runtime_manager_#{manager.id}@localhost"
      assert params["pid"] == manager.os_pid
      assert params["capabilities"] == %{}
      assert %{"jsonrpc" => "2.0", "id" => 1, "result" => %{}} = answer

      assert %{"id" => 2, "result" => %{}} = request(manager, 2, "ping")
      assert %{"id" => "three", "result" => %{}} = request(manager, "three", "status")
      assert %{"id" => 4, "result" => %{}} = request(manager, 4, "shutdown")
      assert {0, ""} = ended(manager)
    end

    test "completes without distribution, and then names no node" do
      {manager, hello, answer} = start(env: @no_distribution) |> handshake()
      refute Map.has_key?(hello["params"], "node")
      assert answer["result"] == %{}
      assert %{"result" => %{}} = request(manager, 2, "shutdown")
      assert {0, ""} = ended(manager)
    end

    test "completes through an executable that only wraps Elixir's" do
      directory = Path.join(System.tmp_dir!(), "rm shim #{System.unique_integer([:positive])}")
      File.mkdir_p!(directory)
      on_exit(fn -> File.rm_rf!(directory) end)
      shim = Path.join(directory, "elixir")
      File.write!(shim, "#!/bin/sh\nexec #{System.find_executable("elixir")} \"$@\"\n")
      File.chmod!(shim, 0o755)

      {manager, _, _} = start(elixir: shim) |> handshake()
      assert %{"result" => %{}} = request(manager, 2, "shutdown")
      assert {0, ""} = ended(manager)
    end

    test "completes where the modules were not compiled by the build" do
      directory = Path.join(System.tmp_dir!(), "rm src #{System.unique_integer([:positive])}")
      on_exit(fn -> File.rm_rf!(directory) end)
      File.mkdir_p!(directory)
      File.cp!(node_script(), Path.join(directory, "start-node"))
      File.cp_r!(Path.join(Path.dirname(node_script()), "lib"), Path.join(directory, "lib"))

      {manager, _, _} = start(script: Path.join(directory, "start-node")) |> handshake()
      assert %{"result" => %{}} = request(manager, 2, "shutdown")
      assert {0, ""} = ended(manager)
    end

    test "needs nothing else of the manager when messages come in pieces, or several at once" do
      manager = start(env: @no_distribution) |> accept()
      receive_message(manager)
      send_message(manager, ~s({"jsonrpc":"2.0","id":1,"method":"initial))
      send_message(manager, ~s(ize","params":{"id":"x","protocol":1}}\n))
      assert %{"id" => 1, "result" => %{}} = receive_message(manager)

      send_message(
        manager,
        ~s({"jsonrpc":"2.0","method":"node_initialized","params":{"init_ref":"#{manager.ref}"}}\n) <>
          ~s({"jsonrpc":"2.0","method":"news","params":{"of":"later versions"}}\n) <>
          ~s({"jsonrpc":"2.0","id":2,"method":"ping"}\n)
      )

      assert %{"id" => 2, "result" => %{}} = receive_message(manager)
      request(manager, 3, "shutdown")
      assert {0, ""} = ended(manager)
    end

    test "is followed by a line that says what has started" do
      {manager, _, _} = start() |> handshake()
      name = "runtime_manager_#{manager.id}@localhost"
      assert_receive {port, {:data, line}} when is_port(port), 20_000
      assert line =~ ~r/^Elixir #{System.version()} \(Erlang\/OTP \d+\), #{name}\n$/
      request(manager, 3, "shutdown")
      ended(manager)
    end

    test "gives the node its arguments and a started Elixir" do
      code = ~S"""
      _ = Manager,
      Started = fun(Name) -> lists:keymember(Name, 1, application:which_applications()) end,
      Eventually = fun Try(Check) -> Check() orelse begin receive after 10 -> ok end, Try(Check) end end,
      Seen = {'Elixir.System':argv(), 'Elixir.RuntimeManager.Manager':id(),
              os:getenv("RUNTIME_MANAGER_SOCKET"),
              Started(elixir), Eventually(fun() -> Started(logger) end)},
      io:put_chars(['Elixir.Kernel':inspect(Seen), 10])
      """

      {manager, _, _} = start(arguments: ["--one", "two three", "ä"], code: code) |> handshake()
      text = wait_for_output("\n")
      assert text == inspect({["--one", "two three", "ä"], manager.id, false, true, true}) <> "\n"
      request(manager, 2, "shutdown")
      ended(manager)
    end
  end

  describe "the node ends by itself" do
    test "when initialize does not come by the deadline" do
      manager = start(timeout_ms: 1_500, env: @no_distribution) |> accept()
      receive_message(manager)
      assert {1, "connection timed out\n"} = ended(manager)
    end

    test "when node_initialized does not come by the deadline" do
      {manager, _, _} = start(timeout_ms: 1_500) |> initialize()
      assert {1, "connection timed out\n"} = ended(manager)
    end

    test "when node_initialized carries another ref" do
      {manager, _, _} = start(env: @no_distribution) |> initialize()

      send_message(manager, %{
        "method" => "node_initialized",
        "params" => %{"init_ref" => "another"}
      })

      assert {1, "the manager called the handshake complete, but not this one\n"} = ended(manager)
    end

    test "when the deadline is over before it starts" do
      manager = start(timeout_ms: 0, env: @no_distribution)
      assert {1, "connection timed out\n"} = ended(manager)
    end

    test "when its Manager is killed, also under no_halt" do
      code = "'Elixir.System':no_halt(true), timer:sleep(100), exit(Manager, kill)"
      {manager, _, _} = start(code: code) |> handshake()
      assert {1, "the Manager process of this node ended unexpectedly\n"} = ended(manager)
    end

    test "when the connection is closed, before or after it is ready" do
      manager = start(env: @no_distribution) |> accept()
      receive_message(manager)
      :gen_tcp.close(manager.socket)
      assert {1, "the manager closed the connection\n"} = ended(manager)

      {manager, _, _} = start(env: @no_distribution) |> handshake()
      assert %{"result" => %{}} = request(manager, 2, "ping")
      :gen_tcp.close(manager.socket)
      assert {1, "the manager closed the connection\n"} = ended(manager)
    end

    test "when the manager speaks something else" do
      manager = start(env: @no_distribution) |> accept()
      receive_message(manager)
      send_message(manager, "HTTP/1.1 400 Bad Request\r\n")
      {status, text} = ended(manager)
      assert status == 1

      assert text =~
               "the manager sent a message that is not JSON: \"HTTP/1.1 400 Bad Request\\r\""
    end

    test "when a message is too long" do
      {manager, _, _} = start(env: @no_distribution) |> handshake()
      # The node may hang up before it has read all of it.
      _ = :gen_tcp.send(manager.socket, String.duplicate("x", 1024 * 1024 + 1))
      assert {1, "the manager sent a message that is too long\n"} = ended(manager)
    end

    test "when another version of the protocol is asked for" do
      manager = start(env: @no_distribution) |> accept()
      receive_message(manager)

      assert %{"id" => 1, "error" => %{"code" => -32600}} =
               request(manager, 1, "initialize", %{"id" => "x", "protocol" => 2})

      assert {1, _} = ended(manager)
    end

    test "when there is no manager" do
      manager =
        start(env: Map.put(@no_distribution, "RUNTIME_MANAGER_SOCKET", "/nonexistent/socket"))

      assert {1, "cannot connect to the manager at /nonexistent/socket: enoent\n"} =
               ended(manager)

      manager = start(env: %{"RUNTIME_MANAGER_SOCKET" => nil})
      {1, text} = ended(manager)
      assert text =~ "RUNTIME_MANAGER_SOCKET is not set"
    end

    test "in time when an application does not come down" do
      # While the other is busy, Erlang may refuse to suspend it.
      code = ~S"""
      _ = Manager,
      Suspend = fun Again() ->
        try erlang:suspend_process(whereis(application_controller))
        catch error:internal_error -> Again()
        end
      end,
      Suspend(),
      io:put_chars([$., 10]),
      timer:sleep(infinity)
      """

      {manager, _, _} = start(env: @no_distribution, code: code) |> handshake()
      assert wait_for_output("\n") == ".\n"
      request(manager, 2, "shutdown")
      assert {0, ""} = ended(manager)
    end
  end

  describe "a ready node" do
    setup do
      {manager, _, _} = start(env: @no_distribution) |> handshake()
      {:ok, manager: manager}
    end

    test "refuses what it does not know and goes on", %{manager: manager} do
      assert %{"id" => 2, "error" => %{"code" => -32601}} = request(manager, 2, "interrupt")

      assert %{"id" => 3, "error" => %{"code" => -32600}} =
               request(manager, 3, "initialize", %{"id" => "x", "protocol" => 1})

      send_message(manager, "garbage\n")
      assert %{"id" => nil, "error" => %{"code" => -32700}} = receive_message(manager)
      send_message(manager, "[]\n")
      assert %{"id" => nil, "error" => %{"code" => -32600}} = receive_message(manager)
      send_message(manager, ~s({"jsonrpc":"2.0","id":9,"result":{}}\n))
      assert %{"id" => 4, "result" => %{}} = request(manager, 4, "ping")
    end

    test "writes all output before it ends" do
      code = ~S"""
      Line = lists:duplicate(99, $x) ++ "\n",
      [io:put_chars(Line) || _ <- lists:seq(1, 5000)],
      exit(Manager, shutdown)
      """

      {manager, _, _} = start(env: @no_distribution, code: code) |> handshake()
      {status, text} = ended(manager)
      assert status == 0
      assert byte_size(text) == 500_000
    end
  end

  defp wait_for_output(ending, text \\ "") do
    receive do
      {port, {:data, data}} when is_port(port) ->
        text = without_greeting(text <> data)
        if String.ends_with?(text, ending), do: text, else: wait_for_output(ending, text)
    after
      20_000 -> flunk("no output, only: #{text}")
    end
  end
end
