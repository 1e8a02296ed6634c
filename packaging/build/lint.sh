#!/usr/bin/env bash
# Every static check of both languages and of the shell scripts. Runs all of them, then says which failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

failed=()
check() {
  local name=$1
  shift
  echo "== $name"
  "$@" || failed+=("$name")
}

in_native() { (cd native && "$@"); }
in_fuzz() { (cd native/fuzz && "$@"); }

shell_scripts() {
  git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do
      [[ -f $file ]] || continue
      case $file in
        *.sh) printf '%s\0' "$file" ;;
        *.ts | *.mjs | *.json | *.rs | *.md) ;;
        *) head -c 64 "$file" | tr -d '\0' | head -n 1 | grep -Eq '^#!.*\b(ba|da|)sh\b' && printf '%s\0' "$file" ;;
      esac
    done
}
# -x: follow the files that a script sources.
shell_check() { shell_scripts | xargs -0 -r shellcheck -x; }

check eslint npx --no-install eslint .
check prettier npx --no-install prettier --check --log-level warn .
check tsc npx --no-install tsc --noEmit
check rustfmt in_native cargo fmt --all --check
check rustfmt-fuzz in_fuzz cargo fmt --check
check clippy in_native cargo clippy --locked --workspace --all-targets -- -D warnings
# With the engine's dependencies, which are built already; the programs of libFuzzer are not linked.
check clippy-fuzz in_fuzz cargo clippy --locked --all-targets --target-dir ../target -- -D warnings
check shellcheck shell_check

if ((${#failed[@]})); then
  echo "lint failed: ${failed[*]}" >&2
  exit 1
fi
echo "lint passed"
