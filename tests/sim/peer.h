/* A client that connects, and tries again a little later whenever that fails or the connection is
 * lost, until it is done. */
#ifndef TESTS_SIM_PEER_H
#define TESTS_SIM_PEER_H

#include "sim_tests.h"

struct peer {
	struct pro_handler handler; /* lives as long as its proactor */
	struct pro_sim *sim;
	struct pro_proactor *proactor;
	struct pro_asynch_connector connector;
	struct pro_asynch_timer timer;
	const char *target; /* HOST:PORT */
	unsigned number;
	bool is_done;
	/* A service handler for the new connection. It says peer_lost when it is closed. */
	struct pro_service_handler *(*make_link)(struct peer *peer);
};

/* Makes a proactor for the peer and lets it begin. 0 or an error. */
int peer_start(struct peer *peer, struct pro_sim *sim, unsigned number, const char *target);
void peer_lost(struct peer *peer);

#endif
