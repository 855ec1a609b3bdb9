/* Addresses as text and back, strictly: what is not exactly an address is refused.
 *
 * The system's structures are read and written through copies, because the bytes of a pro_addr have
 * no type that the system's may alias. */
#include <proactor/addr.h>
#include <proactor/error.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "ports/sockaddr.h"

#define UNIX_PREFIX    "unix:"
#define UNIX_PATH_AT   offsetof(struct sockaddr_un, sun_path)
#define UNIX_PATH_ROOM (sizeof(struct sockaddr_un) - UNIX_PATH_AT)

/* Of an IPv6 address: the network, a /64. A client has all addresses of it for nothing. */
#define INET6_CLIENT_BYTES 8

_Static_assert(sizeof(struct sockaddr_un) <= sizeof(((struct pro_addr *)0)->storage.bytes) &&
					   sizeof(struct sockaddr_in6) <= sizeof(((struct pro_addr *)0)->storage.bytes),
		"every address of these families fits");

/* ---- to and from the system's structures ---- */

static void addr_set(struct pro_addr *addr, const void *sockaddr, size_t length)
{
	memset(addr, 0, sizeof(*addr));
	memcpy(addr->storage.bytes, sockaddr, length);
	addr->length = (uint32_t)length;
}

/* An address of `family` as it stands, the rest zero where the system wrote less. */
static struct sockaddr_in addr_inet(const struct pro_addr *addr)
{
	struct sockaddr_in inet;

	memcpy(&inet, addr->storage.bytes, sizeof(inet));
	return inet;
}

static struct sockaddr_in6 addr_inet6(const struct pro_addr *addr)
{
	struct sockaddr_in6 inet6;

	memcpy(&inet6, addr->storage.bytes, sizeof(inet6));
	return inet6;
}

/* The bytes of a path and how many there are: a leading NUL marks an abstract name, which may hold
 * more of them; none at all is a socket without a name. */
static const unsigned char *addr_path(const struct pro_addr *addr, size_t *length)
{
	const unsigned char *path = addr->storage.bytes + UNIX_PATH_AT;
	size_t room = addr->length < UNIX_PATH_AT ? 0 : addr->length - UNIX_PATH_AT;
	const unsigned char *end;

	if (room > UNIX_PATH_ROOM)
		room = UNIX_PATH_ROOM;
	end = room > 0 && path[0] ? memchr(path, 0, room) : NULL;
	*length = end ? (size_t)(end - path) : room;
	return path;
}

enum pro_family pro_addr_family(const struct pro_addr *addr)
{
	struct sockaddr sockaddr;

	if (addr->length < offsetof(struct sockaddr, sa_data))
		return PRO_FAMILY_NONE;
	memcpy(&sockaddr, addr->storage.bytes, sizeof(sockaddr));
	switch (sockaddr.sa_family) {
	case AF_INET:
		return addr->length >= sizeof(struct sockaddr_in) ? PRO_FAMILY_INET : PRO_FAMILY_NONE;
	case AF_INET6:
		return addr->length >= sizeof(struct sockaddr_in6) ? PRO_FAMILY_INET6 : PRO_FAMILY_NONE;
	case AF_UNIX:
		return PRO_FAMILY_UNIX;
	default:
		return PRO_FAMILY_NONE;
	}
}

/* ---- reading ---- */

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_letter(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

/* Nothing but decimal digits, up to `most`. */
static bool number_read(const char *text, uint32_t most, uint32_t *number)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (!is_digit(*text))
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > most)
			return false;
	}
	*number = (uint32_t)value;
	return true;
}

static bool inet_read(const char *host, struct sockaddr_in *inet)
{
	memset(inet, 0, sizeof(*inet));
	inet->sin_family = AF_INET;
	return inet_pton(AF_INET, host, &inet->sin_addr) == 1;
}

/* The address in front of '%'; *scope is what stands behind it, NULL when there is no '%'. */
static bool inet6_read(const char *host, struct sockaddr_in6 *inet6, const char **scope)
{
	char digits[INET6_ADDRSTRLEN];
	const char *percent = strchr(host, '%');
	size_t length = percent ? (size_t)(percent - host) : strlen(host);

	memset(inet6, 0, sizeof(*inet6));
	inet6->sin6_family = AF_INET6;
	*scope = percent ? percent + 1 : NULL;
	if (length >= sizeof(digits))
		return false;
	memcpy(digits, host, length);
	digits[length] = '\0';
	return inet_pton(AF_INET6, digits, &inet6->sin6_addr) == 1;
}

/* An interface's name, or its number. */
static bool scope_read(const char *scope, struct sockaddr_in6 *inet6)
{
	uint32_t index = pro__scope_index(scope);

	if (index == 0 && (!number_read(scope, UINT32_MAX, &index) || index == 0))
		return false;
	inet6->sin6_scope_id = index;
	return true;
}

/* Whether a host's last label is a number: resolvers take "127.1" and "0x7f.1" for addresses, so
 * such a host is a dotted quad or nothing. */
static bool host_ends_in_number(const char *host)
{
	char label[PRO_HOST_MAX];
	size_t length = strlen(host);
	const char *dot;

	memcpy(label, host, length + 1);
	if (length > 0 && label[length - 1] == '.')
		label[length - 1] = '\0';
	dot = strrchr(label, '.');
	host = dot ? dot + 1 : label;
	length = strlen(host);
	if (length > 1 && host[0] == '0' && (host[1] == 'x' || host[1] == 'X'))
		return strspn(host + 2, "0123456789abcdefABCDEF") == length - 2;
	return length > 0 && strspn(host, "0123456789") == length;
}

/* Letters, digits, '-', '_', '.', and what lies beyond ASCII. */
static bool host_is_name(const char *host)
{
	for (; *host; host++) {
		if (!is_letter(*host) && !is_digit(*host) && !strchr("-_.", *host) &&
				(unsigned char)*host < 0x80)
			return false;
	}
	return true;
}

static bool host_is_well_formed(const char *host, bool is_bracketed)
{
	struct sockaddr_in6 inet6;
	struct sockaddr_in inet;
	const char *scope;

	if (is_bracketed)
		return inet6_read(host, &inet6, &scope) && (!scope || *scope);
	if (strcmp(host, "") == 0 || strcmp(host, "*") == 0 || inet_read(host, &inet))
		return true;
	return host_is_name(host) && !host_ends_in_number(host);
}

/* "HOST:PORT" and "[HOST]:PORT", the second for IPv6 only. */
static int text_split(const char *text, char *host, uint16_t *port, bool *is_bracketed)
{
	char part[PRO_HOST_MAX];
	const char *end;
	uint32_t number;
	size_t length;

	if (!text)
		return PRO_EINVAL;
	*is_bracketed = text[0] == '[';
	if (*is_bracketed)
		text++;
	end = strstr(text, *is_bracketed ? "]:" : ":");
	if (!end || !number_read(strchr(end, ':') + 1, UINT16_MAX, &number))
		return PRO_EINVAL;
	length = (size_t)(end - text);
	if (length >= sizeof(part))
		return PRO_EINVAL;
	memcpy(part, text, length);
	part[length] = '\0';
	if (!host_is_well_formed(part, *is_bracketed))
		return PRO_EINVAL;
	memcpy(host, part, length + 1);
	*port = (uint16_t)number;
	return 0;
}

int pro_addr_split(const char *text, char *host, uint16_t *port)
{
	bool is_bracketed;

	return text_split(text, host, port, &is_bracketed);
}

/* `rest` is "/path", "@name" or, on Windows, "C:/path" or the path of a pipe. A path keeps its NUL,
 * an abstract name has none. */
static int unix_parse(struct pro_addr *addr, const char *rest)
{
	struct sockaddr_un sockaddr;
	size_t length = strlen(rest);
	bool is_abstract = rest[0] == '@';

	if (is_abstract && length == 1)
		return PRO_EINVAL;
	if (length + (is_abstract ? 0 : 1) > sizeof(sockaddr.sun_path))
		return PRO_ENAMETOOLONG;
	memset(&sockaddr, 0, sizeof(sockaddr));
	sockaddr.sun_family = AF_UNIX;
	memcpy(sockaddr.sun_path, rest, length);
	if (is_abstract)
		sockaddr.sun_path[0] = '\0';
	addr_set(addr, &sockaddr, UNIX_PATH_AT + length + (is_abstract ? 0 : 1));
	return 0;
}

static int inet6_parse(struct pro_addr *addr, const char *host, uint16_t port)
{
	struct sockaddr_in6 inet6;
	const char *scope;

	if (!inet6_read(host, &inet6, &scope) || (scope && !scope_read(scope, &inet6)))
		return PRO_EINVAL;
	inet6.sin6_port = htons(port);
	addr_set(addr, &inet6, sizeof(inet6));
	return 0;
}

int pro_addr_parse(struct pro_addr *addr, const char *text)
{
	const size_t prefix = sizeof(UNIX_PREFIX) - 1;
	char host[PRO_HOST_MAX];
	struct sockaddr_in inet;
	bool is_bracketed;
	uint16_t port;
	int error;

	memset(addr, 0, sizeof(*addr));
	if (text && strncmp(text, UNIX_PREFIX, prefix) == 0 &&
			(text[prefix] == '/' || text[prefix] == '@' || pro__is_pipe_path(text + prefix) ||
					pro__is_drive_path(text + prefix)))
		return unix_parse(addr, text + prefix);
	error = text_split(text, host, &port, &is_bracketed);
	if (error)
		return error;
	if (is_bracketed)
		return inet6_parse(addr, host, port);
	if (!inet_read(strcmp(host, "") == 0 || strcmp(host, "*") == 0 ? "0.0.0.0" : host, &inet))
		return PRO_EHOSTNOTFOUND;
	inet.sin_port = htons(port);
	addr_set(addr, &inet, sizeof(inet));
	return 0;
}

int pro_addr_resolve(struct pro_addr *addr, const char *text)
{
	struct pro_resolve_request request = {.port = 0};
	int error = pro_addr_parse(addr, text);
	int os_error;

	if (error != PRO_EHOSTNOTFOUND)
		return error;
	error = pro_addr_split(text, request.host, &request.port);
	assert(!error);
	pro__resolve(&request, &error, &os_error);
	if (!error)
		*addr = request.found[0];
	return error;
}

/* ---- printing ---- */

/* Text of bounded size that grows by whole pieces: the first that does not fit ends it. */
struct writer {
	char *text;
	size_t size;
	size_t length;
	bool is_full;
};

static void writer_add(struct writer *writer, const char *piece)
{
	size_t length = strlen(piece);

	if (writer->is_full || length >= writer->size - writer->length) {
		writer->is_full = true;
		return;
	}
	memcpy(writer->text + writer->length, piece, length + 1);
	writer->length += length;
}

static void unix_format(const struct pro_addr *addr, struct writer *writer)
{
	size_t length;
	const unsigned char *path = addr_path(addr, &length);

	writer_add(writer, UNIX_PREFIX);
	for (size_t i = 0; i < length; i++) {
		char piece[5];

		if (i == 0 && path[i] == '\0')
			snprintf(piece, sizeof(piece), "@");
		else if (path[i] >= 0x20 && path[i] < 0x7f)
			snprintf(piece, sizeof(piece), "%c", path[i]);
		else
			snprintf(piece, sizeof(piece), "\\x%02x", path[i]);
		writer_add(writer, piece);
	}
}

static void inet_format(const struct pro_addr *addr, struct writer *writer)
{
	struct sockaddr_in inet = addr_inet(addr);
	char host[INET_ADDRSTRLEN] = "";
	char text[PRO_ADDR_TEXT_MAX];

	inet_ntop(AF_INET, &inet.sin_addr, host, sizeof(host));
	snprintf(text, sizeof(text), "%s:%u", host, (unsigned)ntohs(inet.sin_port));
	writer_add(writer, text);
}

static void inet6_format(const struct pro_addr *addr, struct writer *writer)
{
	struct sockaddr_in6 inet6 = addr_inet6(addr);
	uint32_t index = inet6.sin6_scope_id;
	char host[INET6_ADDRSTRLEN] = "";
	char name[PRO__SCOPE_NAME_MAX];
	char scope[sizeof(name) + 16] = "";
	char text[PRO_ADDR_TEXT_MAX];

	inet_ntop(AF_INET6, &inet6.sin6_addr, host, sizeof(host));
	if (index != 0 && pro__scope_name(index, name))
		snprintf(scope, sizeof(scope), "%%%s", name);
	else if (index != 0)
		snprintf(scope, sizeof(scope), "%%%" PRIu32, index);
	snprintf(text, sizeof(text), "[%s%s]:%u", host, scope, (unsigned)ntohs(inet6.sin6_port));
	writer_add(writer, text);
}

char *pro_addr_format(const struct pro_addr *addr, char *text, size_t size)
{
	struct writer writer = {.text = text, .size = size};

	if (size == 0)
		return text;
	text[0] = '\0';
	switch (pro_addr_family(addr)) {
	case PRO_FAMILY_NONE:
		break;
	case PRO_FAMILY_INET:
		inet_format(addr, &writer);
		break;
	case PRO_FAMILY_INET6:
		inet6_format(addr, &writer);
		break;
	case PRO_FAMILY_UNIX:
		unix_format(addr, &writer);
		break;
	}
	return text;
}

/* ---- the rest ---- */

uint16_t pro_addr_port(const struct pro_addr *addr)
{
	switch (pro_addr_family(addr)) {
	case PRO_FAMILY_INET:
		return ntohs(addr_inet(addr).sin_port);
	case PRO_FAMILY_INET6:
		return ntohs(addr_inet6(addr).sin6_port);
	case PRO_FAMILY_NONE:
	case PRO_FAMILY_UNIX:
		break;
	}
	return 0;
}

void pro_addr_set_port(struct pro_addr *addr, uint16_t port)
{
	struct sockaddr_in6 inet6;
	struct sockaddr_in inet;

	switch (pro_addr_family(addr)) {
	case PRO_FAMILY_INET:
		inet = addr_inet(addr);
		inet.sin_port = htons(port);
		memcpy(addr->storage.bytes, &inet, sizeof(inet));
		break;
	case PRO_FAMILY_INET6:
		inet6 = addr_inet6(addr);
		inet6.sin6_port = htons(port);
		memcpy(addr->storage.bytes, &inet6, sizeof(inet6));
		break;
	case PRO_FAMILY_NONE:
	case PRO_FAMILY_UNIX:
		break;
	}
}

/* The same in the first `bytes` bytes, on the same interface. */
static bool inet6_same_prefix(
		const struct sockaddr_in6 *left, const struct sockaddr_in6 *right, size_t bytes)
{
	return memcmp(&left->sin6_addr, &right->sin6_addr, bytes) == 0 &&
		   left->sin6_scope_id == right->sin6_scope_id;
}

/* An IPv4 address as a listener on [::] sees it; any other stays what it is. */
static struct sockaddr_in6 addr_mapped(const struct pro_addr *addr)
{
	struct sockaddr_in6 inet6 = {.sin6_family = AF_INET6};
	struct sockaddr_in inet;

	if (pro_addr_family(addr) != PRO_FAMILY_INET)
		return addr_inet6(addr);
	inet = addr_inet(addr);
	inet6.sin6_addr.s6_addr[10] = 0xff;
	inet6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&inet6.sin6_addr.s6_addr[12], &inet.sin_addr, sizeof(inet.sin_addr));
	return inet6;
}

bool pro_addr_same_host(const struct pro_addr *left, const struct pro_addr *right)
{
	enum pro_family left_family = pro_addr_family(left);
	enum pro_family right_family = pro_addr_family(right);
	struct sockaddr_in6 left_inet6;
	struct sockaddr_in6 right_inet6;

	if (left_family == PRO_FAMILY_NONE || left_family == PRO_FAMILY_UNIX)
		return left_family == right_family;
	if (right_family == PRO_FAMILY_NONE || right_family == PRO_FAMILY_UNIX)
		return false;
	left_inet6 = addr_mapped(left);
	right_inet6 = addr_mapped(right);
	return inet6_same_prefix(&left_inet6, &right_inet6, sizeof(left_inet6.sin6_addr));
}

static bool is_internet(const struct pro_addr *addr)
{
	enum pro_family family = pro_addr_family(addr);

	return family == PRO_FAMILY_INET || family == PRO_FAMILY_INET6;
}

static bool inet6_is_mapped(const struct sockaddr_in6 *inet6)
{
	static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(&inet6->sin6_addr, prefix, sizeof(prefix)) == 0;
}

bool pro_addr_same_client(const struct pro_addr *left, const struct pro_addr *right)
{
	if (!is_internet(left) || !is_internet(right))
		return false;
	struct sockaddr_in6 left_inet6 = addr_mapped(left);
	struct sockaddr_in6 right_inet6 = addr_mapped(right);
	bool is_inet = inet6_is_mapped(&left_inet6) || inet6_is_mapped(&right_inet6);
	return inet6_same_prefix(
			&left_inet6, &right_inet6, is_inet ? sizeof(left_inet6.sin6_addr) : INET6_CLIENT_BYTES);
}

static bool unix_equal(const struct pro_addr *left, const struct pro_addr *right)
{
	size_t left_length;
	size_t right_length;
	const unsigned char *left_path = addr_path(left, &left_length);
	const unsigned char *right_path = addr_path(right, &right_length);

	return left_length == right_length && memcmp(left_path, right_path, left_length) == 0;
}

bool pro_addr_equal(const struct pro_addr *left, const struct pro_addr *right)
{
	enum pro_family family = pro_addr_family(left);

	if (family != pro_addr_family(right))
		return false;
	if (family == PRO_FAMILY_UNIX)
		return unix_equal(left, right);
	return pro_addr_same_host(left, right) && pro_addr_port(left) == pro_addr_port(right);
}
