/* The file service: its settings, its listening socket and its sessions. */
#ifndef FILE_SERVICE_FILE_SERVICE_H
#define FILE_SERVICE_FILE_SERVICE_H

#include <proactor/asynch_acceptor.h>
#include <proactor/file.h>

struct session;

struct file_service {
	struct pro_asynch_acceptor acceptor;
	struct pro_proactor *proactor;
	struct pro_file_root *root;
	unsigned request_timeout_s; /* for a whole request, from the end of the one before */
	unsigned stall_timeout_s;   /* for a client that takes nothing of an answer */
	unsigned sessions_max;

	struct session *sessions; /* all that are open */
	unsigned session_count;
	bool is_draining; /* answers that are under way are finished, nothing is begun */
};

#endif
