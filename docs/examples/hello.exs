# SPDX-License-Identifier: LGPL-2.1-or-later
[name | _] = System.argv()

System.trap_signal(:sigusr2, fn ->
  IO.puts("goodbye, #{name}")
  System.stop()
end)

IO.puts("ready for #{name}")
for line <- IO.stream(:stdio, :line), do: IO.write("#{name} said: #{line}")
Process.sleep(:infinity)
