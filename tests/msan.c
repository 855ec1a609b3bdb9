/* MemorySanitizer and Check, which is not built with it: what Check writes to its own pipe looks
 * uninitialised. Linked with --wrap=fwrite. */
#include <sanitizer/msan_interface.h>
#include <stdio.h>

size_t __real_fwrite(const void *bytes, size_t size, size_t count, FILE *file);
size_t __wrap_fwrite(const void *bytes, size_t size, size_t count, FILE *file);

size_t __wrap_fwrite(const void *bytes, size_t size, size_t count, FILE *file)
{
	__msan_unpoison(bytes, size * count);
	return __real_fwrite(bytes, size, count, file);
}
