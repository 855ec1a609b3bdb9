/* Addresses of code as text, by the dynamic loader. */
#include "where.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void pro__where_text(const void *caller, char *text, size_t size)
{
	const char *call;
	const char *name;
	Dl_info info;

	if (!caller) {
		snprintf(text, size, "an unknown place");
		return;
	}
	/* A return address lies behind the call, perhaps on the next line. */
	call = (const char *)caller - 1;
	if (!dladdr(call, &info) || !info.dli_fname) {
		snprintf(text, size, "%p", (const void *)call);
		return;
	}
	name = strrchr(info.dli_fname, '/');
	snprintf(text, size, "%s+0x%zx%s%s%s", name ? name + 1 : info.dli_fname,
			(size_t)(call - (const char *)info.dli_fbase), info.dli_sname ? " (" : "",
			info.dli_sname ? info.dli_sname : "", info.dli_sname ? ")" : "");
}
