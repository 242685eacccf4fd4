# What the first session on a host runs, in any POSIX shell, with nothing there but the usual tools: it says what the host is, takes the program in,
# and hands over to it. $1 what to do, $2 the cluster's folder, $3 the program's SHA-256, $4 a word for a temporary name.
case $2 in
"~/"*) dir=$HOME/${2#"~/"} ;;
*) dir=$2 ;;
esac
program=$dir/bin/ringmaster-$3

complain() {
	echo "$1" >&2
	exit 1
}

sum() {
	if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"
	elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$1"
	elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r <"$1"
	else complain "the host has neither sha256sum nor shasum nor openssl to verify the program with"
	fi
}

whole() {
	[ -f "$1" ] && [ -x "$1" ] && found=$(sum "$1") && [ "${found%% *}" = "$2" ]
}

echo ringmaster-host-1
case $1 in
look)
	echo "system $(uname -sm)"
	echo "dir $dir"
	echo "connection $SSH_CONNECTION"
	for file in "$dir"/bin/ringmaster-*; do
		[ -f "$file" ] && echo "program ${file##*/ringmaster-}"
	done
	echo end
	;;
check)
	if whole "$program" "$3"; then echo whole; else echo missing; fi
	;;
put)
	umask 077
	new=$dir/bin/.ringmaster-$4
	mkdir -p "$dir/bin" || exit 1
	trap 'rm -f "$new"' EXIT
	trap 'exit 1' HUP INT TERM
	gzip -dc >"$new" || exit 1
	chmod 700 "$new" || exit 1
	whole "$new" "$3" || complain "the program that arrived is not the one that was sent: its SHA-256 differs"
	mv -f "$new" "$program" || exit 1
	echo whole
	;;
run)
	if [ ! -x "$program" ]; then
		echo missing
		exit 0
	fi
	echo running
	exec "$program" host agent
	;;
esac
