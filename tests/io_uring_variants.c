/* The ports of a program that is linked with this file: those of the library, and the io_uring port
 * as older kernels make it work. PROACTOR_PORT names one:
 *
 *   io_uring_coop    completions by cooperative task work, as before 6.1
 *   io_uring_plain   no flags, as before 5.19
 *   io_uring_old     the same, and nothing that is newer than 5.11 */
#include "../proactor/ports/io_uring.h"

#include <string.h>

extern const struct pro_port_vtbl pro__io_uring_port;
extern const struct pro_port_vtbl pro__epoll_port;

/* The tables are the real one's but for name and create; they are filled before main. */
static struct pro_port_vtbl coop_port;
static struct pro_port_vtbl plain_port;
static struct pro_port_vtbl old_port;

static int coop_create(struct pro_proactor *proactor, const struct pro_proactor_options *options,
		struct pro_port **port, struct pro_proactor_report *report, char *why, size_t why_size)
{
	return pro__ring_port_create(proactor, options, PRO__RING_COOP, port, report, why, why_size);
}

static int plain_create(struct pro_proactor *proactor, const struct pro_proactor_options *options,
		struct pro_port **port, struct pro_proactor_report *report, char *why, size_t why_size)
{
	return pro__ring_port_create(proactor, options, PRO__RING_PLAIN, port, report, why, why_size);
}

static int old_create(struct pro_proactor *proactor, const struct pro_proactor_options *options,
		struct pro_port **port, struct pro_proactor_report *report, char *why, size_t why_size)
{
	int error = plain_create(proactor, options, port, report, why, why_size);

	if (!error)
		pro__ring_port_from(*port)->ring.features = 0;
	return error;
}

__attribute__((constructor)) static void fill_tables(void)
{
	coop_port = pro__io_uring_port;
	coop_port.name = "io_uring_coop";
	coop_port.create = coop_create;
	plain_port = pro__io_uring_port;
	plain_port.name = "io_uring_plain";
	plain_port.create = plain_create;
	old_port = pro__io_uring_port;
	old_port.name = "io_uring_old";
	old_port.create = old_create;
}

const struct pro_port_vtbl *const pro__ports[] = {
		&pro__io_uring_port,
		&pro__epoll_port,
		&coop_port,
		&plain_port,
		&old_port,
		NULL,
};
