/* Addresses of sockets: IPv4, IPv6 and UNIX-domain, parsed from and printed as text. ACE:
 * ACE_INET_Addr, ACE_UNIX_Addr. */
#ifndef PROACTOR_ADDR_H
#define PROACTOR_ADDR_H

#include <proactor/base.h>

PRO_BEGIN_DECLS

enum pro_family { PRO_FAMILY_NONE, PRO_FAMILY_INET, PRO_FAMILY_INET6, PRO_FAMILY_UNIX };

/* Embed and copy freely; all zero is the empty address (PRO_FAMILY_NONE). */
struct pro_addr {
	/* Private: a struct sockaddr of the system and its length in bytes. */
	uint32_t length;
	uint32_t reserved;
	union {
		uint64_t align;
		unsigned char bytes[128];
	} storage;
};

/* Room for any address as text, with its NUL. */
#define PRO_ADDR_TEXT_MAX 144
/* Room for a host name as text, with its NUL. */
#define PRO_HOST_MAX 256

/* Parses "192.0.2.1:80", "[2001:db8::1%eth0]:80", ":80" and "*:80" (any IPv4 address), "[::]:80",
 * "unix:/path" and "unix:@abstract"; on Windows also "unix:C:/path" and "unix:\\.\pipe\NAME", a
 * named pipe of this machine.
 * PRO_EHOSTNOTFOUND for a well-formed HOST:PORT whose host is a name (resolve it), PRO_EINVAL for
 * anything else, PRO_ENAMETOOLONG for a path that does not fit; `addr` is then empty. [any thread]
 * Since 0.1. */
PRO_API int pro_addr_parse(struct pro_addr *addr, const char *text);

/* As pro_addr_parse, and asks the system's resolver for names, which BLOCKS: for start-up;
 * connectors resolve without blocking. PRO_EHOSTNOTFOUND, PRO_ERESOLVE, PRO_EINVAL,
 * PRO_ENAMETOOLONG, PRO_ENOMEM and errors of the system. [any thread] Since 0.1. */
PRO_API int pro_addr_resolve(struct pro_addr *addr, const char *text);

/* Splits "HOST:PORT" or "[HOST]:PORT" without looking the host up: a name, an IPv4 address, "" or
 * "*"; in brackets an IPv6 address. `host` holds PRO_HOST_MAX bytes. PRO_EINVAL: nothing was
 * written. [any thread] Since 0.1. */
PRO_API int pro_addr_split(const char *text, char *host, uint16_t *port);

/* Prints what pro_addr_parse reads ("" for an empty address) into `text` of `size` bytes, always
 * NUL-terminated; unprintable bytes of a path as \xNN. Returns `text`. PRO_ADDR_TEXT_MAX always
 * suffices for INET and INET6; longer paths are cut. [any thread] Since 0.1. */
PRO_API char *pro_addr_format(const struct pro_addr *addr, char *text, size_t size);

/* What kind of address it is. [any thread] Since 0.1. */
PRO_API enum pro_family pro_addr_family(const struct pro_addr *addr);
/* Its port; 0 for UNIX-domain and empty addresses. [any thread] Since 0.1. */
PRO_API uint16_t pro_addr_port(const struct pro_addr *addr);
/* Changes its port; no effect on UNIX-domain and empty addresses. [any thread] Since 0.1. */
PRO_API void pro_addr_set_port(struct pro_addr *addr, uint16_t port);
/* Same family, host and port, or same path. [any thread] Since 0.1. */
PRO_API bool pro_addr_equal(const struct pro_addr *left, const struct pro_addr *right);
/* Same host, whatever the port. An IPv4 address and its form in IPv6 are the same host; UNIX-domain
 * addresses are all of this one. [any thread] Since 0.1. */
PRO_API bool pro_addr_same_host(const struct pro_addr *left, const struct pro_addr *right);
/* Whether a limit per client address counts both as one client: the same host in IPv4 (or its form
 * in IPv6), the same /64 network on the same interface in IPv6, where a client picks the rest of
 * its address at will. False for UNIX-domain and empty addresses, which do not tell the client.
 * [any thread] Since 0.1. */
PRO_API bool pro_addr_same_client(const struct pro_addr *left, const struct pro_addr *right);

PRO_END_DECLS

#endif
