# SPDX-License-Identifier: LGPL-2.1-or-later
defmodule RuntimeManager.Secret do
  @moduledoc """
  Random values from the kernel. The crypto application would do, but loading it takes longer than
  all the rest of a handshake.
  """

  @doc "A cookie of 128 random bits."
  @spec cookie() :: atom()
  def cookie, do: :erlang.binary_to_atom(:binary.encode_hex(bytes(16)))

  @doc "A number that tells this node from an earlier one of the same name; below 4 is reserved."
  @spec creation() :: 4..0xFFFFFFFF
  def creation do
    <<number::32>> = bytes(4)
    max(number, 4)
  end

  defp bytes(count) do
    {:ok, device} = :file.open(~c"/dev/urandom", [:read, :raw, :binary])
    {:ok, <<_::binary-size(count)>> = bytes} = :file.read(device, count)
    :ok = :file.close(device)
    bytes
  end
end
