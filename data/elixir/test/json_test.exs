# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.JSONTest do
  use ExUnit.Case, async: true

  alias RuntimeManager.{JSON, PlainJSON}

  # Whatever this Elixir has, and always our own.
  @codecs Enum.uniq(
            [PlainJSON, JSON.codec()] ++
              if(match?({:module, _}, :code.ensure_loaded(:json)), do: [:json], else: [])
          )

  for codec <- @codecs do
    describe "#{inspect(codec)}" do
      @codec codec

      test "reads what is JSON" do
        for {text, term} <- [
              {"null", nil},
              {" true ", true},
              {"false\r\n", false},
              {"0", 0},
              {"-12", -12},
              {"1.5", 1.5},
              {"1e3", 1000.0},
              {"-0.5E-1", -0.05},
              {~S(""), ""},
              {~S("aä€😀"), "aä€😀"},
              {~S("\"\\\/\b\f\n\r\t"), "\"\\/\b\f\n\r\t"},
              {~S("\u00e4\u20AC\ud83d\ude00"), "ä€😀"},
              {"[]", []},
              {"[1, [2], null]", [1, [2], nil]},
              {"{}", %{}},
              {~S({"a" : {"b":[{}]}, "c":null}), %{"a" => %{"b" => [%{}]}, "c" => nil}}
            ] do
          assert {text, JSON.decode(@codec, text)} == {text, {:ok, term}}
        end
      end

      test "refuses what is not" do
        for text <- [
              "",
              " ",
              "nul",
              "truefalse",
              "1 2",
              "01",
              "+1",
              "1.",
              ".5",
              "1e",
              "-",
              ~S("open),
              ~S("\x"),
              ~S("\u12"),
              ~S("\ud800"),
              "\"\n\"",
              <<?", 0xFF, ?">>,
              "[1,]",
              "[1",
              "[,]",
              "{",
              ~S({"a"}),
              ~S({"a":}),
              ~S({"a":1,}),
              ~S({a:1}),
              ~S({1:1}),
              "1e999",
              "'a'"
            ] do
          assert {text, JSON.decode(@codec, text)} == {text, :error}
        end
      end

      test "reads back what it wrote, on one line" do
        term = %{
          "a" => [1, -2.5, nil, true, false, "x\n\"\\\u0001ä😀"],
          "b" => %{"c" => %{}, "d" => []}
        }

        text = IO.iodata_to_binary(JSON.encode(@codec, term))
        refute text =~ "\n"
        assert JSON.decode(@codec, text) == {:ok, term}
      end

      test "writes atoms as keys" do
        assert IO.iodata_to_binary(JSON.encode(@codec, %{id: nil})) == ~S({"id":null})
      end
    end
  end

  test "our own refuses nesting without end" do
    assert PlainJSON.decode(String.duplicate("[", 1_000_000)) == :error
  end
end
