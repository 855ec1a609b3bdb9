/* Names of files below a root, where Windows has traps: what looks like a file may be a device
 * (CON), a stream of another file (a:b), another file (`a.`, `a `), a drive or a share. */
#include "windows_world.h"

#include <string.h>

/* The file systems take no longer part, counted in UTF-16 units. */
#define PART_UNITS_MAX 255

static char upper(char byte)
{
	return byte >= 'a' && byte <= 'z' ? (char)(byte - 'a' + 'A') : byte;
}

static bool is_equal(const char *text, size_t length, const char *name)
{
	size_t i;

	for (i = 0; i < length && name[i]; i++) {
		if (upper(text[i]) != name[i])
			return false;
	}
	return i == length && !name[i];
}

/* COM1 and so on; the digits 1 to 3 may be superscripts too, and some systems know a 0. */
static bool is_numbered_device(const char *part, size_t length)
{
	static const char *const superscripts[] = {"\xC2\xB9", "\xC2\xB2", "\xC2\xB3"};

	if (length < 4 || (!is_equal(part, 3, "COM") && !is_equal(part, 3, "LPT")))
		return false;
	if (length == 4)
		return part[3] >= '0' && part[3] <= '9';
	for (size_t i = 0; i < sizeof(superscripts) / sizeof(superscripts[0]); i++) {
		if (length == 5 && memcmp(part + 3, superscripts[i], 2) == 0)
			return true;
	}
	return false;
}

/* The devices of old are there in every folder, whatever extension they get. */
static bool is_device(const char *part, size_t length)
{
	static const char *const devices[] = {
			"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$", "KEYBD$", "SCREEN$"};
	const char *dot = memchr(part, '.', length);

	if (dot)
		length = (size_t)(dot - part);
	while (length > 0 && part[length - 1] == ' ')
		length--;
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		if (is_equal(part, length, devices[i]))
			return true;
	}
	return is_numbered_device(part, length);
}

static bool has_forbidden_byte(const char *part, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)part[i] < 0x20 || strchr("\\:*?\"<>|", part[i]))
			return true;
	}
	return false;
}

/* Upper bound of the UTF-16 units of UTF-8 bytes: each of them starts at most one, four-byte
 * sequences give two. */
static size_t units_of(const char *part, size_t length)
{
	size_t units = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)part[i];

		units += (byte & 0xC0) != 0x80;
		units += byte >= 0xF0;
	}
	return units;
}

static int part_check(const char *part, size_t length)
{
	if (has_forbidden_byte(part, length))
		return PRO_ENAME;
	if (part[length - 1] == '.' || part[length - 1] == ' ')
		return PRO_ENAME;
	if (is_device(part, length))
		return PRO_ENAME;
	return units_of(part, length) > PART_UNITS_MAX ? PRO_ENAMETOOLONG : 0;
}

static bool is_dots(const char *part, size_t length, size_t count)
{
	return length == count && part[0] == '.' && part[count - 1] == '.';
}

/* Takes the last part away; false when there is none. */
static bool plain_leave(char *plain)
{
	char *backslash = strrchr(plain, '\\');

	if (!*plain)
		return false;
	*(backslash ? backslash : plain) = '\0';
	return true;
}

static int plain_add(char *plain, const char *part, size_t length)
{
	size_t used = strlen(plain);

	if (used + 1 + length + 1 > PRO__WINDOWS_NAME_MAX)
		return PRO_ENAMETOOLONG;
	if (used)
		plain[used++] = '\\';
	memcpy(plain + used, part, length);
	plain[used + length] = '\0';
	return 0;
}

int pro__windows_name_check(const char *name, char *plain, bool *is_directory)
{
	plain[0] = '\0';
	*is_directory = true;
	if (*name == '/')
		return PRO_EESCAPE;
	while (*name) {
		size_t length = strcspn(name, "/");
		int error = 0;

		*is_directory = true;
		if (is_dots(name, length, 2)) {
			error = plain_leave(plain) ? 0 : PRO_EESCAPE;
		} else if (length > 0 && !is_dots(name, length, 1)) {
			error = part_check(name, length);
			if (!error)
				error = plain_add(plain, name, length);
			*is_directory = name[length] == '/';
		}
		if (error)
			return error;
		name += length;
		name += *name == '/';
	}
	return 0;
}
