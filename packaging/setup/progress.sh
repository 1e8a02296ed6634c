# shellcheck shell=bash
# Says what is going on: "[2/5] Debian packages … 12 s", on standard error; standard output belongs to the work itself.

progress_step=0
progress_steps=0

# A step whose output is only interesting when it fails. usage: step TITLE LOG COMMAND...
step() {
	local title=$1 log=$2 start=$SECONDS pid status=0 shown=0
	shift 2
	progress_step=$((progress_step + 1))
	title="[$progress_step/$progress_steps] $title"
	# A process group of its own: Ctrl-C then ends all of it, apt and cargo included, and not this shell alone.
	set -m
	"$@" </dev/null >"$log" 2>&1 &
	pid=$!
	set +m
	trap 'kill -TERM -- "-$pid" 2>/dev/null; wait "$pid"; echo >&2; exit 130' INT TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		if ((SECONDS - start >= 2)); then
			if [ -t 2 ]; then
				printf '\r%s … %d s' "$title" $((SECONDS - start)) >&2
				shown=1
			elif ((SECONDS - start >= shown + 10)); then
				shown=$((SECONDS - start))
				echo "$title … $shown s" >&2
			fi
		fi
		sleep 0.1
	done
	wait "$pid" || status=$?
	trap - INT TERM HUP
	[ ! -t 2 ] || ((shown == 0)) || printf '\r\033[K' >&2
	if ((status)); then
		echo "$title: FAILED after $((SECONDS - start)) s; the end of $log:" >&2
		tail -n 30 "$log" >&2
		return "$status"
	fi
	echo "$title: done ($((SECONDS - start)) s)" >&2
}
