# SPDX-License-Identifier: Apache-2.0
# Sourced: checks that count themselves. What fails shows what it has printed.
passed=0 failed=0

check() { # what is to hold, command
  local what=$1 output; shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1))
    echo "ok: $what"
  else
    failed=$((failed + 1))
    printf 'FAILED: %s (%s)\n%s\n' "$what" "$*" "$output" | tail -30
    ! declare -F more_on_failure >/dev/null || more_on_failure
  fi
}
note() { echo "-- $*"; }
not() { ! "$@"; }
same() { [ "$1" = "$2" ] || { printf '%s\nand not\n%s\n' "$1" "$2"; false; }; }
has() { case $1 in *"$2"*) ;; *) echo "'$2' is not in: $1"; false ;; esac; }
silent() { # command, which is to succeed and to print nothing
  local output code=0
  output=$("$@" 2>&1) || code=$?
  echo "$output"
  [ $code = 0 ] && [ -z "$output" ]
}
silent_run() { "$@"; }

retry() { # command, which is asked again until it holds, for two minutes at most
  local end=$((SECONDS + 120))
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    read -rt 0.2 <> <(:) || true
  done
}

summary() {
  echo "Total: $((passed + failed)), Errors: 0, Failed: $failed, Skipped: 0"
  [ "$failed" -eq 0 ]
}
