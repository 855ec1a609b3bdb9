/* Sessions of a sample service and clients of its protocol, over many seeds. One program for each
 * service: it has the service's own sources in it, its main's included. */
#ifndef TESTS_SIM_SAMPLES_SERVICE_H
#define TESTS_SIM_SAMPLES_SERVICE_H

#include "../peer.h"

#include "../../../samples/common/sample.h"

extern const char *const service_name;

/* The service is short of memory by intention: it may refuse what it else must do. */
extern bool service_lacks_memory;

/* What it does fails by intention: it may end a session that it else must go on with. */
extern bool service_is_hit;

void service_test_init(struct pro_sim_test *test);

#endif
