# SPDX-License-Identifier: Apache-2.0
# The command knows its own words; a word it has none for is a file's name.
_mooncake_mesh() {
  local words
  words=$("${COMP_WORDS[0]}" "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")
}
complete -o default -F _mooncake_mesh mooncake-mesh
