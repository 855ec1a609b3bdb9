/* Private: the system's socket addresses. The only header of the portable part that includes the
 * system's for them. */
#ifndef PROACTOR_PORTS_SOCKADDR_H
#define PROACTOR_PORTS_SOCKADDR_H

#include <proactor/addr.h>

#include <string.h>

#if defined(_WIN32)

#include <winsock2.h>
#include <ws2tcpip.h>
#if __has_include(<afunix.h>)
#include <afunix.h>
#else
/* As Windows 10 lays it out; older systems refuse the family when a socket is made. */
struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};
#endif

#define PRO__PIPE_PREFIX "\\\\.\\pipe\\"

/* Named pipes have addresses of the UNIX family here. */
static inline bool pro__is_pipe_path(const char *path)
{
	const size_t length = sizeof(PRO__PIPE_PREFIX) - 1;

	return strncmp(path, PRO__PIPE_PREFIX, length) == 0 && path[length];
}

/* A path that begins with a drive. */
static inline bool pro__is_drive_path(const char *path)
{
	const char letter = (char)(path[0] | 0x20);

	return letter >= 'a' && letter <= 'z' && path[1] == ':' && (path[2] == '/' || path[2] == '\\');
}

#define PRO__SCOPE_NAME_MAX 1

/* Windows writes scopes as numbers, which need no name. */
static inline unsigned pro__scope_index(const char *name)
{
	(void)name;
	return 0;
}

static inline const char *pro__scope_name(unsigned index, char *name)
{
	(void)index;
	(void)name;
	return NULL;
}

#else

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static inline bool pro__is_pipe_path(const char *path)
{
	(void)path;
	return false;
}

static inline bool pro__is_drive_path(const char *path)
{
	(void)path;
	return false;
}

#define PRO__SCOPE_NAME_MAX IF_NAMESIZE

/* The interface called `name`; 0: there is none. */
static inline unsigned pro__scope_index(const char *name)
{
	return if_nametoindex(name);
}

/* The name of an interface, in `name` of PRO__SCOPE_NAME_MAX bytes; NULL: there is none. */
static inline const char *pro__scope_name(unsigned index, char *name)
{
	return if_indextoname(index, name);
}

#endif

#endif
