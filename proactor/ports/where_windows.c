/* Addresses of code as text, by the loader of Windows. */
#include "where.h"

#include <stdio.h>
#include <string.h>
#include <windows.h>

void pro__where_text(const void *caller, char *text, size_t size)
{
	char path[MAX_PATH];
	const char *call;
	const char *name;
	HMODULE module;
	DWORD length;

	if (!caller) {
		snprintf(text, size, "an unknown place");
		return;
	}
	/* A return address lies behind the call, perhaps on the next line. */
	call = (const char *)caller - 1;
	if (!GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS |
									GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
				call, &module)) {
		snprintf(text, size, "%p", (const void *)call);
		return;
	}
	length = GetModuleFileNameA(module, path, sizeof(path) - 1);
	path[length] = '\0';
	name = strrchr(path, '\\');
	snprintf(text, size, "%s+0x%zx", name ? name + 1 : path, (size_t)(call - (const char *)module));
}
