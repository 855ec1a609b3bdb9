#!/bin/sh
# Builds the project in every way it is meant to be built, and runs all tests.
#
#	sh tests/run.sh [--quick | --long]
#
# --quick  one compiler, Debug and Release, and what is installed: under three minutes
# --long   all, ten times as many seeds, and the tests that take minutes, such as a soak: hours
#
# On Debian, as root or with sudo, it installs what it needs. The last line tells the counts; the
# status is 0 when nothing failed and something ran.

set -u

PACKAGES="build-essential git cmake pkg-config liburing-dev check python3 curl netcat-openbsd
	clang clang-format libclang-rt-14-dev valgrind strace"
# Without these nothing can be said; the rest is skipped with a word.
NEEDED="cc c++ make cmake pkg-config python3"

usage()
{
	sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

mode=default
case "${1-}" in
"") ;;
--quick) mode=quick ;;
--long) mode=long ;;
--help) usage; exit 0 ;;
*) usage >&2; exit 2 ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
cd "$root" || exit 1
. tests/common.sh
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

need_tools()
{
	missing=
	for tool in $NEEDED; do
		has "$tool" || missing="$missing $tool"
	done
	if [ -z "$missing" ] && ! pkg-config --exists check; then
		missing=" check (the unit test framework)"
	fi
	if [ -n "$missing" ]; then
		say "missing:$missing"
		fail "the tools"
		finish
	fi
}

# ---- builds and their tests ----

# check_preset PRESET COMPILER CTEST_ARGUMENT...: both, where there is such a compiler.
check_preset()
{
	preset=$1
	compiler=$2
	shift 2
	if ! has "$compiler"; then
		skip "$preset: $compiler is not installed"
		return
	fi
	build "$preset" && run_tests "$preset" "$@"
}

# ---- what a user gets ----

uses_shared_library()
{
	ldd "$1" | grep -q libproactor
}

# A user's project against the installed package; proactor::proactor is the library of that kind.
consumer_by_cmake() # shared|static
{
	consumer=$work/consumer_$1
	shared=OFF
	[ "$1" = shared ] && shared=ON
	cmake -S tests/consumer -B "$consumer" -DCMAKE_PREFIX_PATH="$work/moved" \
		-DBUILD_SHARED_LIBS="$shared" && cmake --build "$consumer" --parallel "$jobs" &&
		ctest --test-dir "$consumer" --output-on-failure --no-tests=error || return
	case $1 in
	shared) uses_shared_library "$consumer/consumer_c_proactor" ;;
	static) ! uses_shared_library "$consumer/consumer_c_proactor" ;;
	esac
}

# consumer_by_pkg_config COMPILER SOURCE STANDARD shared|static
consumer_by_pkg_config()
{
	program=$work/pkg_config_consumer
	if [ "$4" = shared ]; then
		libraries=$(pkg-config --libs proactor) || return
	else
		# -lproactor would take the shared library, which lies beside it.
		libraries=$(pkg-config --static --libs proactor | sed 's/-lproactor/-l:libproactor.a/')
	fi
	# shellcheck disable=SC2046,SC2086 # lists
	"$1" -std="$3" "$2" -o "$program" $(pkg-config --cflags proactor) $libraries || return
	if [ "$4" = shared ]; then
		uses_shared_library "$program" || return
		LD_LIBRARY_PATH=$(pkg-config --variable=libdir proactor) "$program"
	else
		! uses_shared_library "$program" && "$program"
	fi
}

# The server that the README shows is a whole program.
# shellcheck disable=SC2016 # the dollar ends a line
readme_compiles()
{
	sed -n '/^```c$/,/^```$/p' README.md | grep -v '^```' >"$work/readme.c" &&
		[ -s "$work/readme.c" ] || return
	# shellcheck disable=SC2046 # a list
	cc -std=c11 -Wall -Wextra -Wpedantic -Werror "$work/readme.c" -o "$work/readme" \
		$(pkg-config --cflags --libs proactor)
}

version_is_refused()
{
	sed "s/find_package(proactor 0.1 /find_package(proactor $1 /" tests/consumer/CMakeLists.txt \
		>"$work/wrong/CMakeLists.txt" && ! cmake -S "$work/wrong" -B "$work/wrong/build" \
		-DCMAKE_PREFIX_PATH="$work/moved"
}

check_package()
{
	say "package: installing, moving, using"
	one "install" cmake --install build-release --prefix "$work/installed" || return
	# What is installed must not know where it was.
	mv "$work/installed" "$work/moved"
	for kind in shared static; do
		one "find_package, $kind" consumer_by_cmake $kind
	done
	mkdir "$work/wrong"
	cp tests/consumer/*.c tests/consumer/*.cpp "$work/wrong"
	one "find_package refuses 0.2" version_is_refused 0.2
	one "find_package refuses 1.0" version_is_refused 1.0
	PKG_CONFIG_PATH=$(dirname "$(find "$work/moved" -name proactor.pc)")
	export PKG_CONFIG_PATH
	for kind in shared static; do
		one "pkg-config, C, $kind" consumer_by_pkg_config cc tests/consumer/consumer.c c11 $kind
		one "pkg-config, C++, $kind" consumer_by_pkg_config c++ tests/consumer/consumer_cxx.cpp \
			c++17 $kind
	done
	one "README's echo server" readme_compiles
	unset PKG_CONFIG_PATH
}

check_style()
{
	say "style"
	python3 tests/style.py build-release >"$work/style.log" 2>&1
	grep -v '^ok ' "$work/style.log"
	add_counts "$work/style.log" || fail "style: it did not end"
}

# Very many seeds of the simulated port, and how fast it is.
check_seeds()
{
	build seeds || return
	say "seeds: testing"
	python3 tests/sim/seeds.py build-seeds/tests "$jobs" "$@" >"$work/seeds.log" 2>&1
	sed '$d' "$work/seeds.log"
	add_counts "$work/seeds.log" || fail "seeds: they did not end"
}

# The port of Windows, under Wine.
check_windows()
{
	say "windows: building and testing"
	sh tests/windows/run.sh >"$work/windows.log" 2>&1
	sed '$d' "$work/windows.log" | sed 's/^\[/    [/'
	if add_counts "$work/windows.log"; then
		say "windows: $(tail -n 1 "$work/windows.log")"
	else
		fail "windows: it did not end"
	fi
}

# check_fuzz SECONDS: each target of libFuzzer for so long.
check_fuzz()
{
	if ! has clang || ! echo 'int main(void) { return 0; }' |
		clang -x c -fsanitize=fuzzer-no-link,address - -o "$work/fuzz" >/dev/null 2>&1; then
		skip "fuzz: clang with libFuzzer is not installed"
		return
	fi
	build fuzz || return
	say "fuzz: $1 s for each target"
	python3 tests/fuzz/run.py build-fuzz --seconds "$1" >"$work/fuzz.log" 2>&1
	grep -v '^ok ' "$work/fuzz.log"
	add_counts "$work/fuzz.log" || fail "fuzz: it did not end"
}

# check_coverage LINES BRANCHES UNMARKED: what the tests of one build reach, at least so many percent
# of the lines and of the branches, and at most so many lines without a word why they are not.
check_coverage()
{
	if ! has gcov; then
		skip "coverage: gcov is not installed"
		return
	fi
	build coverage || return
	find build-coverage -name '*.gcda' -exec rm -f {} +
	run_tests coverage -L quick -E '^samples|traffic|seeds|_table$|_traces$|^mutants'
	run_tests coverage -R '^torture_calls\.|^conformance_shared\.epoll$'
	if python3 tests/coverage.py build-coverage --lines "$1" --branches "$2" --unmarked "$3" \
		>"$work/coverage.log" 2>&1; then
		passed=$((passed + 1))
	else
		cat "$work/coverage.log"
		fail "coverage: less than lines $1 %, branches $2 %, or more than $3 lines unmarked"
	fi
	say "$(tail -n 1 "$work/coverage.log")"
}

# check_valgrind [CASE]: the simulated port, without a sanitizer's changes to the program; CASE is one
# more of the program sim. The corpora of the fuzz targets are short runs of most of it.
check_valgrind()
{
	if ! has valgrind; then
		skip "valgrind: it is not installed"
		return
	fi
	say "valgrind: the simulated port"
	memory="env CK_FORK=no valgrind -q --error-exitcode=9 --leak-check=full"
	# shellcheck disable=SC2086 # commands
	{
		one "valgrind: conformance" env PROACTOR_PORT=sim PROACTOR_TEST_SMALL=1 \
			$memory build-debug/tests/conformance
		one "valgrind: test_arguments" env PROACTOR_PORT=sim $memory \
			build-debug/tests/test_arguments
		one "valgrind: sim_example" env PROACTOR_SIM_SEEDS=20 $memory build-debug/tests/sim_example
		for service in chat file_service; do
			one "valgrind: sim_$service" env PROACTOR_SIM_SEEDS=5 $memory \
				build-debug/tests/sim_$service
		done
	}
	# The others are about crashes and speed.
	for case in world control edges network files promises ${1-}; do
		# shellcheck disable=SC2086 # a command
		one "valgrind: sim, $case" env CK_RUN_CASE="$case" $memory build-debug/tests/sim
	done
	for session in echo chat transfer dgram; do
		# shellcheck disable=SC2086 # a command
		one "valgrind: sim, $session" $memory build-debug/tests/sim seeds $session 1 10
	done
	for target in operations file_lines chat_lines message_block; do
		# shellcheck disable=SC2086 # a command
		one "valgrind: fuzz_$target" $memory build-debug/tests/fuzz/fuzz_$target \
			tests/fuzz/corpus/$target
	done
}

# ---- the run ----

# Nothing for ThreadSanitizer.
single_threaded='^(fuzz|sim|conformance_(seeds|table)|test_(error|http_request|sim_test|timer_queue))'

install_packages
need_tools

case $mode in
quick) labels="-L quick" ;;
default) labels="-LE long" ;;
long) labels= ;;
esac
# shellcheck disable=SC2086 # two words, or none
check_preset debug cc $labels
if build release; then
	check_style
	check_package
fi
if [ "$mode" != quick ]; then
	# Files of gigabytes went out in debug.
	if [ "$mode" = default ]; then
		PROACTOR_TEST_SMALL_FILES=1
		export PROACTOR_TEST_SMALL_FILES
	fi
	# What touches no port is as in debug.
	check_preset epoll-only cc -L quick -L epoll
	check_preset clang clang -L quick
	if [ "$mode" = long ]; then
		check_preset asan cc -LE long
	else
		check_preset asan cc -L quick
	fi
	check_preset tsan clang -L quick -E "$single_threaded"
	unset PROACTOR_TEST_SMALL_FILES
	if [ "$mode" = long ]; then
		check_seeds --long
	else
		check_seeds
	fi
	check_windows
	# Check itself is not built for it: programs that are clean with it, and those without it.
	check_preset msan clang -L quick -R \
		'^(test_(arguments|crew|debug|error|lent_pool|linux_|message_block|epoll|operation|pains|proactor_group|races|work)|conformance\.(sim|epoll)$|sim$|sim_(chat|file_service|example)$|fuzz)'
	if [ "$mode" = long ]; then
		check_valgrind sessions
	else
		check_valgrind
	fi
	check_coverage 98 92.5 20
	if [ "$mode" = long ]; then
		check_fuzz 120
	else
		check_fuzz 10
	fi
fi
finish
