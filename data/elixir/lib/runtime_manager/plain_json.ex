# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.PlainJSON do
  @moduledoc """
  JSON for nodes whose language has no library for it. Small rather than fast: the messages are.

  Strict as RFC 8259 is, and with a limit on nesting, since the text comes from outside.
  """

  @max_depth 128

  @doc "Reads one JSON text."
  @spec decode(binary()) :: {:ok, term()} | :error
  def decode(text) do
    {value, rest} = text |> skip() |> value(0)
    if skip(rest) == "", do: {:ok, value}, else: :error
  catch
    :bad_json -> :error
  end

  defp skip(<<char, rest::binary>>) when char in ~c" \t\r\n", do: skip(rest)
  defp skip(rest), do: rest

  defp value(_, depth) when depth > @max_depth, do: throw(:bad_json)
  defp value("null" <> rest, _), do: {nil, rest}
  defp value("true" <> rest, _), do: {true, rest}
  defp value("false" <> rest, _), do: {false, rest}
  defp value("\"" <> rest, _), do: string(rest, [])
  defp value("[" <> rest, depth), do: rest |> skip() |> array(depth + 1)
  defp value("{" <> rest, depth), do: rest |> skip() |> object(depth + 1)
  defp value(text, _), do: number(text)

  defp array("]" <> rest, _), do: {[], rest}
  defp array(text, depth), do: elements(text, depth, [])

  defp elements(text, depth, seen) do
    {value, rest} = value(text, depth)

    case skip(rest) do
      "," <> rest -> rest |> skip() |> elements(depth, [value | seen])
      "]" <> rest -> {:lists.reverse(seen, [value]), rest}
      _ -> throw(:bad_json)
    end
  end

  defp object("}" <> rest, _), do: {%{}, rest}
  defp object(text, depth), do: members(text, depth, %{})

  defp members("\"" <> text, depth, seen) do
    with {name, rest} <- string(text, []),
         ":" <> rest <- skip(rest),
         {value, rest} <- rest |> skip() |> value(depth) do
      seen = Map.put(seen, name, value)

      case skip(rest) do
        "," <> rest -> rest |> skip() |> members(depth, seen)
        "}" <> rest -> {seen, rest}
        _ -> throw(:bad_json)
      end
    else
      _ -> throw(:bad_json)
    end
  end

  defp members(_, _, _), do: throw(:bad_json)

  defp string("\"" <> rest, seen), do: {IO.iodata_to_binary(:lists.reverse(seen)), rest}
  defp string("\\u" <> rest, seen), do: escaped(rest, seen)

  for {char, meaning} <- [
        {?", ?"},
        {?\\, ?\\},
        {?/, ?/},
        {?b, ?\b},
        {?f, ?\f},
        {?n, ?\n},
        {?r, ?\r},
        {?t, ?\t}
      ] do
    defp string(<<?\\, unquote(char), rest::binary>>, seen),
      do: string(rest, [unquote(meaning) | seen])
  end

  defp string(<<char::utf8, rest::binary>>, seen) when char >= 0x20 and char != ?\\,
    do: string(rest, [<<char::utf8>> | seen])

  defp string(_, _), do: throw(:bad_json)

  # Characters beyond the first plane are written as two escapes; half of one means nothing.
  defp escaped(text, seen) do
    case hex4(text) do
      {high, "\\u" <> rest} when high in 0xD800..0xDBFF ->
        case hex4(rest) do
          {low, rest} when low in 0xDC00..0xDFFF ->
            char = 0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00)
            string(rest, [<<char::utf8>> | seen])

          _ ->
            throw(:bad_json)
        end

      {char, rest} when char not in 0xD800..0xDFFF ->
        string(rest, [<<char::utf8>> | seen])

      _ ->
        throw(:bad_json)
    end
  end

  defp hex4(<<digits::binary-size(4), rest::binary>>) do
    if :re.run(digits, "\\A[0-9A-Fa-f]{4}\\z", capture: :none) == :match,
      do: {:erlang.binary_to_integer(digits, 16), rest},
      else: throw(:bad_json)
  end

  defp hex4(_), do: throw(:bad_json)

  @number "\\A(-?(?:0|[1-9][0-9]*))(\\.[0-9]+)?([eE][-+]?[0-9]+)?"

  defp number(text) do
    case :re.run(text, @number, capture: :all_but_first) do
      {:match, [{0, length}]} ->
        <<digits::binary-size(length), rest::binary>> = text
        {:erlang.binary_to_integer(digits), rest}

      {:match, parts} ->
        {start, length} = :lists.last(parts)
        <<digits::binary-size(start + length), rest::binary>> = text
        {float(digits, parts), rest}

      :nomatch ->
        throw(:bad_json)
    end
  end

  # Erlang wants a fraction in every float: 1e3 is 1.0e3 there.
  defp float(digits, [{0, length}, {-1, 0}, _exponent]) do
    <<whole::binary-size(length), exponent::binary>> = digits
    to_float(whole <> ".0" <> exponent)
  end

  defp float(digits, _), do: to_float(digits)

  defp to_float(digits) do
    :erlang.binary_to_float(digits)
  rescue
    ArgumentError -> throw(:bad_json)
  end

  @doc "Writes a term of maps, lists, strings, numbers, booleans and nil, on one line."
  @spec encode(term()) :: iodata()
  def encode(nil), do: "null"
  def encode(true), do: "true"
  def encode(false), do: "false"
  def encode(atom) when is_atom(atom), do: encode(:erlang.atom_to_binary(atom))
  def encode(number) when is_integer(number), do: :erlang.integer_to_binary(number)
  def encode(number) when is_float(number), do: :erlang.float_to_binary(number, [:short])
  def encode(text) when is_binary(text), do: [?", for(<<char::utf8 <- text>>, do: char(char)), ?"]
  def encode([]), do: "[]"
  def encode([_ | _] = list), do: [?[, commas(for(item <- list, do: encode(item))), ?]]

  def encode(map) when is_map(map) do
    members = for {name, value} <- :maps.to_list(map), do: [encode(name(name)), ?:, encode(value)]

    [?{, commas(members), ?}]
  end

  defp name(name) when is_atom(name), do: :erlang.atom_to_binary(name)
  defp name(name) when is_binary(name), do: name

  defp commas(parts), do: :lists.join(?,, parts)

  defp char(?"), do: "\\\""
  defp char(?\\), do: "\\\\"
  defp char(?\n), do: "\\n"

  defp char(char) when char < 0x20,
    do: ["\\u00", :binary.encode_hex(<<char>>)]

  defp char(char), do: <<char::utf8>>
end
