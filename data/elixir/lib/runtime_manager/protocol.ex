# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Protocol do
  @moduledoc """
  Messages of runtime protocol 1: JSON-RPC 2.0, one message a line.

  This module only turns lines into messages and back; what a message means is the session's
  business.
  """

  alias RuntimeManager.JSON, as: Codec

  @version 1
  @max_line 1024 * 1024

  @parse_error -32700
  @invalid_request -32600
  @method_not_found -32601

  @type id :: integer() | float() | String.t() | nil
  @type message ::
          {:request, id(), String.t(), map()}
          | {:notification, String.t(), map()}
          | :response
          | {:invalid, id(), integer(), String.t()}

  @doc "The version of the protocol."
  def version, do: @version

  @doc "The JSON-RPC code for a method that this side does not know."
  def method_not_found, do: @method_not_found

  @doc "The JSON-RPC code for a request that makes no sense now."
  def invalid_request, do: @invalid_request

  @doc """
  Cuts whole lines off what was received. The rest waits for more, unless it is already too long.
  """
  @spec split(binary()) :: {:ok, [binary()], rest :: binary()} | {:error, :too_long}
  def split(received), do: split(received, [])

  defp split(received, lines) do
    case :binary.split(received, "\n") do
      [line, _rest] when byte_size(line) >= @max_line -> {:error, :too_long}
      [line, rest] -> split(rest, [line | lines])
      [rest] when byte_size(rest) >= @max_line -> {:error, :too_long}
      [rest] -> {:ok, :lists.reverse(lines), rest}
    end
  end

  @doc "Reads one line."
  @spec decode(Codec.codec(), binary()) :: message()
  def decode(codec, line) do
    case Codec.decode(codec, line) do
      {:ok, message} -> classify(message)
      :error -> {:invalid, nil, @parse_error, "not JSON"}
    end
  end

  defp classify(%{"jsonrpc" => "2.0", "method" => method} = message) when is_binary(method) do
    case {message, :maps.get("params", message, %{})} do
      {%{"id" => id}, params} when is_map(params) and (is_binary(id) or is_number(id)) ->
        {:request, id, method, params}

      {%{"id" => _}, _} ->
        {:invalid, nil, @invalid_request, "bad id or params"}

      {_, params} when is_map(params) ->
        {:notification, method, params}

      _ ->
        {:invalid, nil, @invalid_request, "bad params"}
    end
  end

  defp classify(%{"jsonrpc" => "2.0", "id" => _, "result" => _}), do: :response
  defp classify(%{"jsonrpc" => "2.0", "id" => _, "error" => _}), do: :response
  defp classify(_), do: {:invalid, nil, @invalid_request, "not a JSON-RPC 2.0 message"}

  @doc "A notification as a line."
  @spec notification(Codec.codec(), String.t(), map()) :: iodata()
  def notification(codec, method, params), do: line(codec, %{method: method, params: params})

  @doc "The answer to a request as a line."
  @spec result(Codec.codec(), id(), map()) :: iodata()
  def result(codec, id, result), do: line(codec, %{id: id, result: result})

  @doc "The refusal of a request as a line."
  @spec error(Codec.codec(), id(), integer(), String.t()) :: iodata()
  def error(codec, id, code, message),
    do: line(codec, %{id: id, error: %{code: code, message: message}})

  defp line(codec, message), do: [Codec.encode(codec, Map.put(message, :jsonrpc, "2.0")), ?\n]
end
