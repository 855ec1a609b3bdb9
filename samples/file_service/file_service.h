/* The file service: its settings, its listening socket and its sessions.
 *
 * A session lives on any proactor and thread and shares nothing with another but what is constant
 * and a few atomics. Who is there is known to one handler, the service's own, to which each session
 * posts its begin and its end; so nothing is locked. It tells them when to drain. */
#ifndef FILE_SERVICE_FILE_SERVICE_H
#define FILE_SERVICE_FILE_SERVICE_H

#include <proactor/asynch_acceptor.h>
#include <proactor/file.h>

#include "../common/sample.h"

struct session;

struct file_service {
	struct pro_handler handler;
	struct pro_asynch_acceptor acceptor;
	struct sample_loops loops;
	struct pro_file_root *root;
	unsigned request_timeout_s;  /* for a whole request, from the end of the one before */
	unsigned stall_timeout_s;    /* for a client that takes nothing of an answer */
	unsigned stop_timeout_s;     /* for answers under way when it is to stop */
	struct sample_limits limits; /* a place is taken from a session's making to its end */

	atomic_bool is_draining; /* answers that are under way are finished, nothing is begun */

	/* The handler's. */
	struct session *sessions;
	unsigned session_count;
};

#endif
