#!/bin/sh
# What tests/run.sh and tests/windows/run.sh share. Sourced in the root of the project; PACKAGES is
# what Debian calls what is needed.

LC_ALL=C
PYTHONDONTWRITEBYTECODE=1
export LC_ALL PYTHONDONTWRITEBYTECODE
exec </dev/null
jobs=$(nproc 2>/dev/null || echo 2)
began=$(date +%s)
passed=0
failed=0
skipped=0
work=$(mktemp -d) || exit 1

# ---- telling and counting ----

say()
{
	printf '[%4d s] %s\n' $(($(date +%s) - began)) "$*"
}

fail()
{
	failed=$((failed + 1))
	say "FAILED: $*"
}

skip()
{
	skipped=$((skipped + 1))
	echo "skip: $*"
}

# Adds "N passed, N failed, N skipped", the last line of the file $1; false when it is not there.
add_counts()
{
	counts=$(tail -n 1 "$1" |
		sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
	[ -n "$counts" ] || return 1
	# shellcheck disable=SC2086 # three words
	set -- $counts
	passed=$((passed + $1))
	failed=$((failed + $2))
	skipped=$((skipped + $3))
}

# one WHAT COMMAND...: a test that is one command; its output is shown if it fails.
one()
{
	what=$1
	shift
	if "$@" >"$work/one.log" 2>&1; then
		passed=$((passed + 1))
	else
		tail -n 100 "$work/one.log"
		fail "$what"
		return 1
	fi
}

finish()
{
	say "done"
	if [ $((passed + failed)) -eq 0 ]; then
		failed=1
	fi
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
	exit
}

has()
{
	command -v "$1" >/dev/null 2>&1
}

# ---- packages ----

all_installed()
{
	# shellcheck disable=SC2086 # a list
	[ "$(dpkg-query -W -f='${db:Status-Status}\n' $PACKAGES 2>/dev/null |
		grep -cx installed)" -eq "$(echo $PACKAGES | wc -w)" ]
}

install_packages()
{
	if ! has apt-get || ! has dpkg-query; then
		say "not a Debian system: using what is installed"
		return
	fi
	if all_installed; then
		return
	fi
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		if ! has sudo; then
			say "neither root nor sudo: using what is installed"
			return
		fi
		as_root=sudo
	fi
	say "installing packages"
	# shellcheck disable=SC2086 # lists
	if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends $PACKAGES; } >"$work/apt.log" 2>&1; then
		tail -n 20 "$work/apt.log"
		say "apt-get failed: using what is installed"
	fi
}

# ---- builds and their tests ----

# build PRESET: configures and builds it in build-PRESET.
build()
{
	say "$1: building"
	if ! { cmake --fresh --preset "$1" && cmake --build --preset "$1" --parallel "$jobs"; } \
		>"$work/build.log" 2>&1; then
		grep -E -B 8 -A 8 '(error|Error)[: ]' "$work/build.log" | grep -v 'Building' | head -n 60
		fail "$1: the build"
		return 1
	fi
}

# run_tests PRESET CTEST_ARGUMENT...: those tests, in build-PRESET; one more at a time than there are
# processors, since many wait for time to pass.
run_tests()
{
	preset=$1
	shift
	say "$preset: testing"
	ctest --preset "$preset" --parallel $((jobs + 1)) --output-on-failure \
		--output-junit "$work/junit.xml" --test-output-size-passed 1000000 --test-output-size-failed 1000000 "$@" >"$work/ctest.log" 2>&1
	status=$?
	if [ $status -ne 0 ]; then
		cat "$work/ctest.log"
	fi
	failed_before=$failed
	if ! python3 tests/count.py "$work/junit.xml" >"$work/counts" || ! add_counts "$work/counts"; then
		cat "$work/ctest.log"
		fail "$preset: no test was counted"
		return 1
	fi
	grep -E '^(skip|FAIL)' "$work/counts"
	say "$preset: $(tail -n 1 "$work/counts")"
	if [ $status -ne 0 ] && [ "$failed" -eq "$failed_before" ]; then
		fail "$preset: ctest exited with $status"
	fi
}
