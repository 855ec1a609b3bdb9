#include "file_name.h"

#include <proactor/error.h>

#include <string.h>

#include "text.h"

/* Adds `length` bytes behind a slash. */
static int add_bytes(struct file_name *name, const char *bytes, size_t length)
{
	size_t slash = name->length > 0;

	if (length > FILE_NAME_BYTES_MAX - slash || name->length > FILE_NAME_BYTES_MAX - slash - length)
		return PRO_ENAMETOOLONG;
	if (slash)
		name->text[name->length++] = '/';
	memcpy(name->text + name->length, bytes, length);
	name->length += length;
	name->text[name->length] = '\0';
	return 0;
}

/* Adds a part that a client sent, decoded. Empty parts and `.` add nothing. */
static int add_part(struct file_name *name, const char *part, size_t length)
{
	name->is_directory = length == 0 || (length == 1 && part[0] == '.');
	if (name->is_directory)
		return 0;
	if (memchr(part, '\0', length))
		return PRO_EINVAL;
	if (length == 2 && part[0] == '.' && part[1] == '.')
		return PRO_EESCAPE;
	if (memchr(part, '\\', length) || memchr(part, '/', length))
		return PRO_ENAME;
	return add_bytes(name, part, length);
}

static void clear(struct file_name *name)
{
	name->text[0] = '\0';
	name->length = 0;
	name->is_directory = true;
}

int file_name_from_line(struct file_name *name, const char *bytes, size_t length)
{
	const char *end = bytes + length;
	const char *slash;
	int error;

	clear(name);
	if (length == 0)
		return PRO_EINVAL;
	if (bytes[0] == '/')
		return PRO_EESCAPE;
	do {
		slash = memchr(bytes, '/', (size_t)(end - bytes));
		error = add_part(name, bytes, (size_t)((slash ? slash : end) - bytes));
		if (slash)
			bytes = slash + 1;
	} while (!error && slash);
	return error;
}

static int hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

/* Decodes %XX of one part into `decoded`, which is FILE_NAME_BYTES_MAX long. */
static int decode_part(const char *part, size_t length, char *decoded, size_t *decoded_length)
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		char byte = part[i];

		if (byte == '%') {
			if (length - i < 3 || hex_value(part[i + 1]) < 0 || hex_value(part[i + 2]) < 0)
				return PRO_EINVAL;
			byte = (char)(hex_value(part[i + 1]) * 16 + hex_value(part[i + 2]));
			i += 2;
		}
		if (used == FILE_NAME_BYTES_MAX)
			return PRO_ENAMETOOLONG;
		decoded[used++] = byte;
	}
	*decoded_length = used;
	return 0;
}

/* Drops "http://host" of a target in absolute form; without a path behind it the root is meant. A
 * host must be there. */
static int drop_authority(const char **bytes, size_t *length)
{
	static const char scheme[] = "http://";
	size_t at = sizeof(scheme) - 1;

	if (*length > 0 && (*bytes)[0] == '/')
		return 0;
	if (*length <= at || !text_equal(*bytes, at, scheme))
		return PRO_EINVAL;
	while (at < *length && (*bytes)[at] != '/' && (*bytes)[at] != '?')
		at++;
	if (at == sizeof(scheme) - 1)
		return PRO_EINVAL;
	bool has_path = at < *length && (*bytes)[at] == '/';
	*bytes = has_path ? *bytes + at : "/";
	*length = has_path ? *length - at : 1;
	return 0;
}

int file_name_from_target(struct file_name *name, const char *bytes, size_t length)
{
	char decoded[FILE_NAME_BYTES_MAX];
	size_t decoded_length;

	clear(name);
	int error = drop_authority(&bytes, &length);
	if (error)
		return error;
	const char *query = memchr(bytes, '?', length);
	const char *end = query ? query : bytes + length;
	while (bytes && !error) {
		const char *part = bytes + 1; /* behind the slash */
		bytes = memchr(part, '/', (size_t)(end - part));
		error = decode_part(part, (size_t)((bytes ? bytes : end) - part), decoded, &decoded_length);
		if (!error)
			error = add_part(name, decoded, decoded_length);
	}
	return error;
}

int file_name_append(struct file_name *name, const char *part)
{
	return add_bytes(name, part, strlen(part));
}

const char *file_name_last_part(const struct file_name *name)
{
	const char *slash = strrchr(name->text, '/');

	return slash ? slash + 1 : name->text;
}
