#!/bin/sh
# Runs a Windows program under Wine, in the prefix that prepare.sh made: wine.sh PROGRAM.EXE ARGUMENT...
# It becomes Wine, so that its process is the program's: kill -INT of it is a Ctrl-C.
WINEPREFIX=${PROACTOR_WINEPREFIX:-$(cd "$(dirname "$0")/../.." && pwd)/build-windows-tools/prefix}
WINEDEBUG=${WINEDEBUG:--all}
WINEDLLOVERRIDES="winedbg.exe=d;winemenubuilder.exe=d;mscoree=;mshtml="
WINESERVER=/usr/lib/wine/wineserver64
# The folders of the user are left alone.
HOME=$WINEPREFIX
# In others Wine finds no name of a file that has more than ASCII.
LC_ALL=C.UTF-8
export WINEPREFIX WINEDEBUG WINEDLLOVERRIDES WINESERVER HOME LC_ALL
unset DISPLAY
exec /usr/lib/wine/wine64 "$@"
