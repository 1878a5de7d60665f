# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.DistributionTest do
  use ExUnit.Case, async: true

  import RuntimeManager.FakeManager

  test "a stock node connects with the name, the cookie and the port" do
    {manager, hello, answer} = start() |> handshake()
    connection = answer["result"]["connection"]
    assert connection["node"] == hello["params"]["node"]

    assert remote_id(connection, connection["cookie"]) == manager.id
    assert remote_id(connection, "another") == "no connection"
    request(manager, 2, "shutdown")
    ended(manager)
  end

  test "long names work as well, and any host" do
    env = %{"RUNTIME_MANAGER_DISTRIBUTION" => "long"}
    {manager, hello, answer} = start(env: env) |> handshake()
    assert hello["params"]["node"] == "runtime_manager_#{manager.id}@127.0.0.1"
    connection = answer["result"]["connection"]
    assert remote_id(connection, connection["cookie"], "-name") == manager.id
    request(manager, 2, "shutdown")
    ended(manager)

    env = %{"RUNTIME_MANAGER_HOST" => "somewhere"}
    {manager, hello, _} = start(env: env) |> handshake()
    assert hello["params"]["node"] == "runtime_manager_#{manager.id}@somewhere"
    request(manager, 2, "shutdown")
    ended(manager)
  end

  test "the node listens on loopback only, unless told otherwise" do
    {manager, _, answer} = start() |> handshake()
    assert listening_on(answer) == ["0100007F"]
    request(manager, 2, "shutdown")
    ended(manager)

    {manager, hello, answer} = start(env: %{"RUNTIME_MANAGER_LISTEN" => "0.0.0.0"}) |> handshake()
    assert listening_on(answer) == ["00000000"]
    {:ok, host} = :inet.gethostname()
    short = host |> to_string() |> String.split(".") |> hd()
    assert hello["params"]["node"] == "runtime_manager_#{manager.id}@#{short}"
    request(manager, 2, "shutdown")
    ended(manager)
  end

  test "the cookie is on no command line, in no environment and in no file" do
    home = Path.join(System.tmp_dir!(), "rm-home-#{System.unique_integer([:positive])}")
    File.mkdir_p!(home)
    on_exit(fn -> File.rm_rf!(home) end)

    {manager, _, answer} = start(env: %{"HOME" => home}) |> handshake()
    cookie = answer["result"]["connection"]["cookie"]
    assert byte_size(cookie) == 32
    refute File.read!("/proc/#{manager.os_pid}/cmdline") =~ cookie
    refute File.read!("/proc/#{manager.os_pid}/environ") =~ cookie
    assert File.ls!(home) == []
    request(manager, 2, "shutdown")
    ended(manager)
  end

  test "a crash of the session ends the node and does not print the cookie" do
    # Before that the report of the crash would be between two loggers.
    code = ~S"""
    _ = Manager,
    Await = fun Await() ->
      lists:keymember(logger, 1, application:which_applications()) orelse begin receive after 10 -> ok end, Await() end
    end,
    Await(),
    [Session] = [P || P <- processes(), {dictionary, D} <- [process_info(P, dictionary)],
      {'$initial_call', {'Elixir.RuntimeManager.Session', _, _}} <- D],
    sys:replace_state(Session, fun(State) -> State#{codec := broken} end),
    io:put_chars([$., 10])
    """

    {manager, _, answer} = start(code: code) |> handshake()
    port = manager.port
    wait_for_line(port, ~r/^\.$/m)
    send_message(manager, %{"id" => 2, "method" => "ping"})
    {status, text} = ended(manager)
    assert status == 1
    assert text =~ "the session with the manager crashed\n"
    assert text =~ manager.id
    refute text =~ answer["result"]["connection"]["cookie"]
  end

  test "the name is registered with a port mapper that runs, and a broken one delays nothing" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, ip: {127, 0, 0, 1}, active: false])
    {:ok, epmd} = :inet.port(listener)
    {manager, _, answer} = start(env: %{"ERL_EPMD_PORT" => "#{epmd}"}) |> handshake()

    {:ok, socket} = :gen_tcp.accept(listener, 20_000)
    {:ok, <<_::16, 120, port::16, _::binary>> = packet} = :gen_tcp.recv(socket, 0, 20_000)
    assert port == answer["result"]["connection"]["port"]
    assert packet =~ "runtime_manager_#{manager.id}"
    assert %{"result" => %{}} = request(manager, 2, "ping")
    request(manager, 3, "shutdown")
    assert {0, _} = ended(manager)

    env = %{"ERL_EPMD_PORT" => "#{epmd}", "RUNTIME_MANAGER_EPMD" => "never"}
    {manager, _, _} = start(env: env) |> handshake()
    request(manager, 2, "shutdown")
    assert {0, _} = ended(manager)
    assert {:error, :timeout} = :gen_tcp.accept(listener, 0)
  end

  test "no port mapper is started" do
    {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, epmd} = :inet.port(listener)
    :gen_tcp.close(listener)

    {manager, _, _} = start(env: %{"ERL_EPMD_PORT" => "#{epmd}"}) |> handshake()
    assert {:error, :econnrefused} = :gen_tcp.connect({127, 0, 0, 1}, epmd, [])
    request(manager, 2, "shutdown")
    assert {0, ""} = ended(manager)
  end

  test "a node without distribution that starts it by hand has a cookie that nobody knows" do
    code = ~S"""
    _ = Manager,
    Name = list_to_atom("rm_by_hand_" ++ os:getpid() ++ "@localhost"),
    {ok, _} = net_kernel:start(Name, #{name_domain => shortnames}),
    io:format("~p~n", [byte_size(atom_to_binary(erlang:get_cookie()))])
    """

    env = %{"RUNTIME_MANAGER_DISTRIBUTION" => "none"}
    {manager, _, _} = start(env: env, code: code) |> handshake()
    port = manager.port
    wait_for_line(port, ~r/^32$/m)
    request(manager, 2, "shutdown")
    ended(manager)
  end

  # What the docs tell a person to do: no port mapper on either side, and the cookie not in argv.
  defp remote_id(connection, cookie, kind \\ "-sname") do
    code = ~S"""
    [Node, Cookie] = [list_to_atom(os:getenv(V)) || V <- ["N", "C"]],
    true = erlang:set_cookie(Cookie),
    case rpc:call(Node, 'Elixir.RuntimeManager.Manager', id, []) of
      {badrpc, nodedown} -> io:put_chars("no connection");
      Id -> io:put_chars(Id)
    end, halt().
    """

    name = "rm_test_#{System.unique_integer([:positive])}_#{System.pid()}@localhost.invalid"
    name = if kind == "-sname", do: String.replace(name, ".invalid", ""), else: name

    {text, 0} =
      System.cmd(
        "erl",
        ~w(-noshell -start_epmd false -dist_listen false -hidden) ++
          ["-erl_epmd_port", "#{connection["port"]}", kind, name, "-eval", code],
        env: %{"N" => connection["node"], "C" => cookie}
      )

    text
  end

  defp listening_on(answer) do
    port =
      answer["result"]["connection"]["port"]
      |> Integer.to_string(16)
      |> String.pad_leading(4, "0")

    for line <- File.stream!("/proc/net/tcp"),
        [_, local, _, "0A" | _] <- [String.split(line)],
        [address, ^port] <- [String.split(local, ":")],
        do: address
  end

  # What is printed at about the same time comes in one piece or in two.
  defp wait_for_line(port, line) do
    assert_receive {^port, {:data, text}}, 20_000
    if text =~ line, do: :ok, else: wait_for_line(port, line)
  end
end
