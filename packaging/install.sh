#!/usr/bin/env bash
# Installs what `npm run build` left in dist/, or takes it away again. Safe to run twice.
#   packaging/install.sh [--destdir D] [--uninstall]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dist=$here/../dist
destdir=
uninstall=no
while (($#)); do
  case $1 in
    --destdir)
      destdir=${2:?--destdir needs a folder}
      shift 2
      ;;
    --uninstall)
      uninstall=yes
      shift
      ;;
    *)
      echo "usage: install.sh [--destdir D] [--uninstall]" >&2
      exit 1
      ;;
  esac
done

lib=/usr/lib/kemari
command=/usr/sbin/kemari
agent=/usr/lib/ocf/resource.d/kemari/vm
logrotate=/etc/logrotate.d/kemari
files=(kemari kemari-engine libkemari_preload.so)
man=/usr/share/man
pages=(ocf_kemari_vm.7 kemari.8)

if [[ $uninstall == yes ]]; then
  rm -f "$destdir$command" "$destdir$agent" "$destdir$logrotate"
  for file in "${files[@]}"; do rm -f "$destdir$lib/$file"; done
  for page in "${pages[@]}"; do rm -f "$destdir$man/man${page##*.}/$page"; done
  for folder in "$lib" "${agent%/*}"; do
    rmdir --ignore-fail-on-non-empty "$destdir$folder" 2>/dev/null || true
  done
  echo "kemari is uninstalled; /var/lib/kemari and /var/log/kemari are left as they are"
  exit 0
fi

for file in "${files[@]}" "${pages[@]}"; do
  if [[ ! -f $dist/$file ]]; then
    echo "dist/$file does not exist: run 'npm run build' first" >&2
    exit 1
  fi
done
if [[ -z $destdir && $EUID -ne 0 ]]; then
  echo "installing below /usr needs root: run this with sudo, or with --destdir" >&2
  exit 1
fi

install -d -m 0755 "$destdir$lib" "$destdir${command%/*}" "$destdir${agent%/*}" "$destdir${logrotate%/*}"
for file in "${files[@]}"; do
  # Renamed into place: a running kemari or engine keeps the file it was started from.
  install -m 0755 "$dist/$file" "$destdir$lib/.$file.new"
  mv -f "$destdir$lib/.$file.new" "$destdir$lib/$file"
done
ln -sfn "$lib/kemari" "$destdir$command"
ln -sfn "$lib/kemari" "$destdir$agent"
install -m 0644 "$here/logrotate" "$destdir$logrotate"
for page in "${pages[@]}"; do
  install -D -m 0644 "$dist/$page" "$destdir$man/man${page##*.}/$page"
done
echo "installed ocf:kemari:vm and $command"
