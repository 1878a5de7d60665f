/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the kinds that we ship say to people, for xgettext, which can't read their files. Never compiled; a test holds it against data/kinds. */

N_("A command of your own");
N_("Elixir, standalone");
N_("no Elixir executable found in PATH");
N_("Elixir process terminated unexpectedly");
N_("Whether other nodes can connect, and whether the node has a short or a long name");
N_("The host part of the node's name; when it listens on loopback, localhost or 127.0.0.1");
N_("The IPv4 address at which other nodes can connect; 0.0.0.0 for all");
N_("Whether the node's name is also registered with a port mapper that already runs; none is ever started");
N_("Elixir, in the context of a Mix project");
N_("ProjectPath must be the directory of a Mix project: it has no mix.exs");
N_("The directory of the Mix project, the one with mix.exs");
N_("The environment of Mix, as in MIX_ENV; Mix itself takes dev");
N_("Where the project is compiled to, as in MIX_BUILD_PATH, instead of the project's own _build");
N_("running mix deps.get failed, see output for more details");
N_("running mix compile failed, see output for more details");
