#!/bin/sh
# Shows the file service and the chat at work, on this machine, on loopback.
#
#	sh samples/demo.sh [--serve]
#
# It installs what it needs (Debian, as root or with sudo), builds Release into build-demo/, starts
# both services on free ports, downloads a large file with curl and with netcat and compares the
# checksums, holds a chat among three clients, and stops the services with SIGINT.
#
# --serve  leaves the services running until Ctrl-C, and says how to reach them
#
# PROACTOR_PORT=epoll (or io_uring) forces a completion port.

set -u
LC_ALL=C
export LC_ALL

TOOLS="cc make cmake pkg-config curl nc sha256sum setsid"
PACKAGES="gcc libc6-dev make cmake pkg-config liburing-dev curl netcat-openbsd"
FILE_MIB=128
DOWNLOAD_S=60   # a download that takes longer hangs,
WAIT_TENTHS=100 # and so does anything else after ten seconds

root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
build=$root/build-demo
began=$(date +%s)
work=
services=

say()
{
	printf '[%3d s] %s\n' $(($(date +%s) - began)) "$*"
}

die()
{
	say "FAILED: $*"
	for log in "$work"/*.log; do
		[ -s "$log" ] && printf -- '---- the end of %s ----\n' "${log##*/}" && tail -n 20 "$log"
	done
	exit 1
}

# Whatever happens, nothing is left behind but the build.
clean_up()
{
	trap - EXIT
	exec 3>&- 4>&- 5>&-
	for pid in $services; do
		kill -KILL "$pid" 2>/dev/null
	done
	[ -n "$work" ] && rm -rf "$work"
}

has()
{
	command -v "$1" >/dev/null 2>&1
}

# ---- packages ----

is_installed()
{
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_packages()
{
	missing=
	if has apt-get && has dpkg-query; then
		for package in $PACKAGES; do
			is_installed "$package" || missing="$missing $package"
		done
	fi
	[ -n "$missing" ] || return 0
	as_root="env"
	if [ "$(id -u)" -ne 0 ]; then
		if ! has sudo; then
			say "neither root nor sudo: can not install$missing"
			return 0
		fi
		as_root="sudo env"
	fi
	say "installing$missing"
	# shellcheck disable=SC2086 # lists
	{
		$as_root DEBIAN_FRONTEND=noninteractive apt-get update &&
			$as_root DEBIAN_FRONTEND=noninteractive \
				apt-get install -y --no-install-recommends $missing
	} >"$work/apt.log" 2>&1 </dev/null || say "apt-get failed: going on with what is there"
}

check_tools()
{
	missing=
	for tool in $TOOLS; do
		has "$tool" || missing="$missing $tool"
	done
	[ -z "$missing" ] || die "these commands are missing:$missing (on Debian: apt-get install $PACKAGES)"
	pkg-config --atleast-version=2.3 liburing ||
		say "liburing 2.3 is missing: building without io_uring, with epoll alone"
}

build_services()
{
	jobs=$(nproc 2>/dev/null || echo 2)
	say "building Release in ${build#"$root"/}/ with $jobs jobs"
	cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DPROACTOR_BUILD_TESTS=OFF \
		-DPROACTOR_BUILD_SAMPLES=ON >"$work/cmake.log" 2>&1 || die "cmake"
	cmake --build "$build" -j "$jobs" >"$work/build.log" 2>&1 || die "the build"
	say "built: $(cd "$build/samples" && echo *_server chat_client)"
}

# ---- the services ----

# await WHAT COMMAND...: until COMMAND succeeds.
await()
{
	what=$1
	shift
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ "$tries" -le "$WAIT_TENTHS" ] || die "waited too long for $what"
		sleep 0.1
	done
}

# start NAME [OPTION...]: sets address and pid.
start()
{
	name=$1
	shift
	# In a session of its own, so that Ctrl-C reaches this script alone, which passes it on once.
	setsid "$build/samples/$name" --listen 127.0.0.1:0 "$@" \
		>"$work/$name.out" 2>"$work/$name.log" </dev/null &
	pid=$!
	services="$services $pid"
	await "$name" is_up "$name"
	address=$(sed -n 's/^listening on //p' "$work/$name.out")
	[ -n "$address" ] || die "$name did not start"
	say "$name listens on $address; completion port: $(sed -n 's/^[^:]*: port //p' "$work/$name.log")"
}

# It listens, or it has ended.
is_up()
{
	grep -q '^listening on ' "$work/$1.out" || ! kill -0 "$pid" 2>/dev/null
}

# stop NAME PID
stop()
{
	kill -INT "$2"
	wait "$2"
	status=$?
	services=$(echo " $services " | sed "s/ $2 / /")
	[ "$status" -eq 0 ] || die "$1 ended with status $status"
	say "$1: SIGINT, ended with status 0"
}

# ---- the file service ----

checksum()
{
	sha256sum | cut -d ' ' -f 1
}

# compare WHAT CHECKSUM
compare()
{
	[ "$2" = "$expected" ] || die "$1: sha256 is $2, not $expected"
	say "$1: sha256 is the same"
}

make_file()
{
	say "making a file of $FILE_MIB MiB"
	mkdir "$work/files" || exit 1
	head -c $((FILE_MIB * 1024 * 1024)) /dev/urandom >"$work/files/large.bin" || die "no room"
	echo 'It works.' >"$work/files/hello.txt"
	expected=$(checksum <"$work/files/large.bin")
	say "its sha256: $expected"
}

# HTTP and the line protocol, on the same port.
download()
{
	say "curl: http://$file_address/large.bin"
	curl -fsS -m "$DOWNLOAD_S" -o "$work/by_curl" "http://$file_address/large.bin" || die "curl"
	compare curl "$(checksum <"$work/by_curl")"
	rm "$work/by_curl"
	say "netcat: printf 'large.bin\\n' | nc -N ${file_address%:*} ${file_address##*:}"
	printf 'large.bin\n' | nc -N -w "$DOWNLOAD_S" "${file_address%:*}" "${file_address##*:}" \
		>"$work/by_nc" || die "nc"
	compare netcat "$(checksum <"$work/by_nc")"
	rm "$work/by_nc"
}

# ---- the chat ----

# heard NAME TEXT: has this client printed it?
heard()
{
	grep -qF "$2" "$work/$1.heard"
}

# join NAME: a client of that name, which says what comes through the pipe NAME.says.
join()
{
	mkfifo "$work/$1.says" || exit 1
	"$build/samples/chat_client" "$chat_address" --nick "$1" \
		<"$work/$1.says" >"$work/$1.heard" 2>"$work/$1.log" &
	services="$services $!"
}

chat()
{
	say "three clients meet in the chat"
	join ann
	exec 3>"$work/ann.says"
	await "ann" heard ann "is now ann"
	join bob
	exec 4>"$work/bob.says"
	await "bob" heard ann "is now bob"
	join cyd
	exec 5>"$work/cyd.says"
	await "cyd" heard bob "is now cyd"
	echo "Does anybody know what a completion port is?" >&3
	await "ann's line" heard cyd "ann: Does"
	echo "You start an operation, and it tells you when it is done." >&4
	await "bob's line" heard ann "bob: You start"
	echo "So nobody waits. I see." >&5
	await "cyd's line" heard bob "cyd: So"
	echo "/msg cyd Coffee?" >&3
	await "the private line" heard cyd "ann (private): Coffee?"
	echo "/who" >&5
	await "the names" heard cyd "in lobby: "
	for name in ann bob cyd; do
		echo "/quit" >"$work/$name.says"
	done
	exec 3>&- 4>&- 5>&-
	await "the end of the clients" are_gone
	for name in ann bob cyd; do
		printf '         %s sees\n' "$name"
		sed 's/^/           | /' "$work/$name.heard"
	done
	if heard bob "Coffee?"; then
		die "bob heard a private line"
	fi
}

# The clients, which were started last.
are_gone()
{
	# shellcheck disable=SC2086 # a list
	set -- $services
	shift 2
	for pid in "$@"; do
		kill -0 "$pid" 2>/dev/null && return 1
	done
	return 0
}

# ---- the show ----

stop_all()
{
	stop file_server "$file_pid"
	stop chat_server "$chat_pid"
}

serve()
{
	cat <<END

  curl http://$file_address/                   (or a browser)
  printf 'hello.txt\\n' | nc -N ${file_address%:*} ${file_address##*:}
  $build/samples/chat_client $chat_address --nick YOU

The files are those of $served. Ctrl-C stops both services.

END
	trap 'is_stopped=yes' INT TERM
	is_stopped=
	while [ -z "$is_stopped" ] && kill -0 "$file_pid" 2>/dev/null &&
		kill -0 "$chat_pid" 2>/dev/null; do
		wait "$file_pid" # returns at the signal too
	done
	echo
}

is_serving=
case "${1-}" in
"") ;;
--serve) is_serving=yes ;;
--help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
*) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
work=$(mktemp -d) || exit 1
install_packages
check_tools
build_services
make_file
served=$work/files
start file_server --root "$served"
file_address=$address
file_pid=$pid
start chat_server
chat_address=$address
chat_pid=$pid
download
chat
if [ -n "$is_serving" ]; then
	serve
fi
stop_all
say "done"
