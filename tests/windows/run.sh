#!/bin/sh
# Builds the project for Windows by mingw-w64 and runs its tests under Wine.
#
#	sh tests/windows/run.sh
#
# On Debian (amd64), as root or with sudo, it installs what it needs; where there is no mingw-w64 or
# no Wine, it says so and ends well. All of Wine happens in a folder of its own and ends with it. The
# last line tells the counts; the status is 0 when nothing failed.

set -u
PACKAGES="cmake make python3 gcc-mingw-w64-x86-64-win32 g++-mingw-w64-x86-64-win32 wine64"
WINESERVER=/usr/lib/wine/wineserver64
# Against hangs: ten times what a busy machine needs.
timeout_s=900

root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
cd "$root" || exit 1
. tests/common.sh
traces=build-windows-mingw/tests/windows/traces
samples="test_echo test_chat test_chat_client test_file_server test_windows"
PROACTOR_WINEPREFIX=$work/prefix
export PROACTOR_WINEPREFIX
trap 'stop_wine; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

wine_finish()
{
	trap - EXIT
	one "nothing is left running" stop_wine
	rm -rf "$work"
	say "done"
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
	exit
}

# ---- Wine ----

wine_server()
{
	env -u DISPLAY WINEPREFIX="$PROACTOR_WINEPREFIX" WINEDEBUG=-all timeout 120 "$WINESERVER" "$@"
}

# A server that stays, and the system's services in it: whoever starts first would start them too,
# with its pipes, and whoever reads those would wait for all of Wine to end.
start_wine()
{
	cp -a build-windows-tools/prefix "$PROACTOR_WINEPREFIX" && wine_server -p &&
		timeout 120 tests/windows/wine.sh cmd /c exit >/dev/null 2>&1
}

# Processes that run in the prefix.
in_prefix()
{
	grep -lsxzF "WINEPREFIX=$PROACTOR_WINEPREFIX" /proc/[0-9]*/environ | cut -d / -f 3
}

# False when something was left; that is ended.
stop_wine()
{
	[ -d "$PROACTOR_WINEPREFIX" ] || return 0
	wine_server -k -w
	left=$(in_prefix)
	[ -n "$left" ] || return 0
	for process in $left; do
		echo "left running: $process $(tr '\0' ' ' <"/proc/$process/cmdline")"
		kill -KILL "$process"
	done
	return 1
}

# ---- the parts ----

# script WHAT COMMAND...: a test whose last line tells its counts.
script()
{
	what=$1
	shift
	say "$what"
	timeout "$timeout_s" "$@" >"$work/script.log" 2>&1
	status=$?
	failed_before=$failed
	if ! add_counts "$work/script.log"; then
		tail -n 100 "$work/script.log"
		fail "$what: it did not end"
	elif [ "$failed" -gt "$failed_before" ]; then
		cat "$work/script.log"
	elif [ $status -ne 0 ]; then
		fail "$what: it exited with $status"
	fi
	sed -n 's/^skip (\(.*\)) \([a-z0-9_]*\) [0-9.]* s$/skip: \2: \1/p' "$work/script.log"
}

# Sizes, calling conventions and warnings of the processors that nothing here runs on.
other_processors()
{
	for processor in i686 aarch64; do
		clang --target=$processor-w64-windows-gnu -isystem /usr/share/mingw-w64/include -std=c11 \
			-fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror \
			-D_WIN32_WINNT=0x0A00 -D__USE_MINGW_ANSI_STDIO=1 \
			-DPRO__DEBUG_OF_BUILD=PRO_DEBUG_OFF -I build-windows-mingw/include proactor/*.c \
			proactor/ports/iocp*.c proactor/ports/*win*.c handlers/*.c asynch/*.c || return
	done
}

# A user's project against what is installed, in C and in C++.
consumer()
{
	cmake -S . -B "$work/package" -DCMAKE_TOOLCHAIN_FILE="$root/tests/windows/mingw-w64.cmake" \
		-DCMAKE_BUILD_TYPE=Release -DPROACTOR_BUILD_SAMPLES=OFF -DPROACTOR_WERROR=ON &&
		cmake --build "$work/package" --parallel "$jobs" &&
		cmake --install "$work/package" --prefix "$work/installed" || return
	# What is installed must not know where it was.
	mv "$work/installed" "$work/moved"
	cmake -S tests/consumer -B "$work/consumer" -DCMAKE_PREFIX_PATH="$work/moved" \
		-DCMAKE_TOOLCHAIN_FILE="$root/tests/windows/mingw-w64.cmake" &&
		cmake --build "$work/consumer" --parallel "$jobs" &&
		ctest --test-dir "$work/consumer" --output-on-failure --no-tests=error
}

# The contract's traces must be those of Linux.
compare_traces()
{
	reference=build-debug/tests/conformance.epoll.trace
	if [ ! -f "$reference" ]; then
		skip "traces: Linux's are not there"
		return
	fi
	for scenario in $(build-debug/tests/conformance --list); do
		cat "$traces/$scenario" 2>/dev/null || printf '%s\n  left out\n' "$scenario"
	done >"$work/conformance.iocp.trace"
	script "traces" python3 tests/traces.py compare "$reference" "$work/conformance.iocp.trace"
}

# Linux's own programs, which talk to those of Windows.
linux_samples()
{
	for folder in build-release build-debug; do
		if [ -x "$folder/samples/chat_server" ]; then
			echo "$folder/samples"
			return
		fi
	done
}

# ---- the run ----

install_packages
if ! has x86_64-w64-mingw32-gcc; then
	skip "windows: there is no mingw-w64"
	trap 'rm -rf "$work"' EXIT
	wine_finish
fi
if [ ! -x "$WINESERVER" ]; then
	skip "windows, its tests: there is no Wine"
	one "windows: the build" cmake -S . -B "$work/build" -DPROACTOR_WERROR=ON \
		-DCMAKE_TOOLCHAIN_FILE="$root/tests/windows/mingw-w64.cmake" &&
		one "windows: the build" cmake --build "$work/build" --parallel "$jobs"
	wine_finish
fi
say "Check and Wine"
sh tests/windows/prepare.sh >"$work/prepare.log" 2>&1
case $? in
0) ;;
77)
	cat "$work/prepare.log"
	skip "windows: Check can not be had"
	wine_finish
	;;
*)
	cat "$work/prepare.log"
	fail "tests/windows/prepare.sh"
	wine_finish
	;;
esac
one "Wine starts" start_wine || wine_finish
if build windows-mingw; then
	rm -f "$traces"/*
	run_tests windows-mingw
	compare_traces
	# shellcheck disable=SC2086 # a list
	script "the services" python3 tests/windows/samples.py build-windows-mingw/samples $samples
	linux=$(linux_samples)
	if [ -n "$linux" ]; then
		script "transcripts" python3 tests/windows/test_transcripts.py \
			build-windows-mingw/samples "$linux"
	else
		skip "transcripts: Linux's own samples are not built"
	fi
fi
if has clang; then
	say "other processors"
	one "compiling for 32 bits and for ARM64" other_processors
else
	skip "other processors: there is no clang"
fi
say "package: installing, moving, using"
one "find_package for Windows" consumer
wine_finish
