# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.JSON do
  @moduledoc """
  JSON by the language's own library, or by ours where there is none.

  Elixir has one since 1.18 and Erlang since OTP 27. Which of them this node has is looked up when
  it starts and not when these modules are compiled, since the two may be different versions. All
  three read `null` as `nil`.
  """

  @compile {:no_warn_undefined, [{JSON, :decode, 1}, {JSON, :encode_to_iodata!, 1}]}
  @compile {:no_warn_undefined,
            [{:json, :decode, 3}, {:json, :encode, 2}, {:json, :encode_value, 2}]}

  @typedoc "The module that does the work."
  @type codec :: module()

  @doc "Finds the library to use."
  @spec codec() :: codec()
  def codec do
    cond do
      has?(JSON, :decode, 1) -> JSON
      has?(:json, :decode, 3) -> :json
      true -> RuntimeManager.PlainJSON
    end
  end

  defp has?(module, function, arity) do
    match?({:module, _}, :code.ensure_loaded(module)) and
      :erlang.function_exported(module, function, arity)
  end

  @doc "Reads one JSON text."
  @spec decode(codec(), binary()) :: {:ok, term()} | :error
  def decode(JSON, text) do
    case JSON.decode(text) do
      {:ok, term} -> {:ok, term}
      {:error, _} -> :error
    end
  end

  def decode(:json, text) do
    {term, _, rest} = :json.decode(text, :ok, %{null: nil})
    if :string.trim(rest) == "", do: {:ok, term}, else: :error
  rescue
    # Each kind of bad text is another Erlang error here.
    _ -> :error
  end

  def decode(plain, text), do: plain.decode(text)

  @doc "Writes a term of maps, lists, strings, numbers, booleans and nil, on one line."
  @spec encode(codec(), term()) :: iodata()
  def encode(JSON, term), do: JSON.encode_to_iodata!(term)

  def encode(:json, term), do: :json.encode(term, &encode_erlang/2)

  def encode(plain, term), do: plain.encode(term)

  defp encode_erlang(nil, _encode), do: "null"
  defp encode_erlang(term, encode), do: :json.encode_value(term, encode)
end
