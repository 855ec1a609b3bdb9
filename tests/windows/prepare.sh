#!/bin/sh
# Makes what the tests on Windows need beside mingw-w64 and wine64, in build-windows-tools/: Check
# for Windows (from Debian's source package), and a small Wine prefix. What is there already is
# kept. Any failure ends it with a word on stderr; 77 is the status when sources can not be fetched.

set -eu
LC_ALL=C
export LC_ALL
root=$(cd "$(dirname "$0")/../.." && pwd)
tools=$root/build-windows-tools
mkdir -p "$tools"
work=$(mktemp -d "$tools/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# run LOG COMMAND...: its output is shown only if it fails.
run()
{
	log=$work/$1.log
	shift
	if ! timeout 300 "$@" >"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		echo "prepare.sh: failed: $*" >&2
		exit "${failure:-1}"
	fi
}

# ---- Check ----

# A list of the system's own sources, with the source packages added; nothing of the system's
# changes.
source_lists()
{
	mkdir -p "$work/apt/lists/partial" "$work/apt/sources"
	if [ -f /etc/apt/sources.list.d/debian.sources ]; then
		sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources \
			>"$work/apt/sources/debian.sources"
	else
		sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$work/apt/sources/debian.list"
	fi
}

apt_private()
{
	apt-get -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/apt/sources" \
		-o Dir::State::Lists="$work/apt/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o APT::Sandbox::User=root "$@"
}

fetch_check()
{
	source_lists
	apt_private update
	cd "$work" && apt_private --download-only source check
}

make_check()
{
	failure=77
	# A shell of its own, since run needs a command.
	run fetch sh -c "$(cat <<-END
		work='$work'
		$(sed -n '/^source_lists()/,/^}/p; /^apt_private()/,/^}/p; /^fetch_check()/,/^}/p' "$0")
		fetch_check
	END
	)"
	failure=1
	mkdir "$work/check"
	run unpack tar -xf "$(ls "$work"/check_*.orig.tar.*)" -C "$work/check" --strip-components=1
	run configure cmake -S "$work/check" -B "$work/check-build" \
		-DCMAKE_TOOLCHAIN_FILE="$root/tests/windows/mingw-w64.cmake" -DCMAKE_BUILD_TYPE=Release \
		-DCMAKE_INSTALL_PREFIX="$tools/check.new" -DBUILD_TESTING=OFF -DCHECK_ENABLE_TESTS=OFF \
		-DCHECK_ENABLE_SUBUNIT=OFF -DINSTALL_CHECKMK=OFF
	run build cmake --build "$work/check-build" --parallel 2
	run install cmake --install "$work/check-build"
	mv "$tools/check.new" "$tools/check"
}

# ---- the prefix ----

make_prefix()
{
	PROACTOR_WINEPREFIX=$work/prefix
	export PROACTOR_WINEPREFIX
	run wineboot "$root/tests/windows/wine.sh" wineboot -i
	run winecfg "$root/tests/windows/wine.sh" winecfg -v win10
	WINEPREFIX=$PROACTOR_WINEPREFIX run wineserver /usr/lib/wine/wineserver64 -k -w || true
	share_system_files "$PROACTOR_WINEPREFIX/drive_c/windows/system32"
	mv "$PROACTOR_WINEPREFIX" "$tools/prefix"
}

# Most of a prefix are copies of what lies in Wine's own folder.
share_system_files()
{
	for file in "$1"/*; do
		own=/usr/lib/x86_64-linux-gnu/wine/x86_64-windows/${file##*/}
		if [ -f "$file" ] && [ ! -L "$file" ] && cmp -s "$file" "$own"; then
			ln -sf "$own" "$file"
		fi
	done
}

[ -d "$tools/check" ] || make_check
[ -d "$tools/prefix" ] || make_prefix
