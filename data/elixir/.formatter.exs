# SPDX-License-Identifier: LGPL-2.1-or-later
[
  inputs: ["{mix,.formatter}.exs", "{lib,test}/**/*.{ex,exs}"]
]
