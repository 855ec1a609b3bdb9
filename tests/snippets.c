/* The C that the documents show and that is no part of another program; it is compiled, and
 * tests/snippets.py compares it. */
#include <proactor/asynch_acceptor.h>
#include <proactor/sim.h>

void dump_both(struct pro_proactor *proactor, pro_dump_function print_line, void *context);
int serve_by_group(struct pro_addr address);
int drive_by_hand(bool (*transfer_is_half_done)(void *), bool (*client_has_given_up)(void *),
		void (*begin)(struct pro_proactor *server, struct pro_proactor *client));

/* docs/debugging.md */
void dump_both(struct pro_proactor *proactor, pro_dump_function print_line, void *context)
{
	pro_proactor_dump(proactor, NULL, NULL);
	pro_proactor_dump(proactor, print_line, context);
}

static struct pro_service_handler *refuse(struct pro_asynch_acceptor *acceptor)
{
	(void)acceptor;
	return NULL;
}

/* docs/threading.md */
int serve_by_group(struct pro_addr address)
{
	static const struct pro_asynch_acceptor_vtbl vtbl = {.make_handler = refuse};
	struct pro_asynch_acceptor acceptor;
	struct pro_asynch_acceptor_options options;
	struct pro_proactor_group *group;
	char why[256];

	pro_proactor_group_create(&group, NULL, why, sizeof(why));
	pro_asynch_acceptor_options_init(&options);
	options.group = group;
	pro_asynch_acceptor_open_with(
			&acceptor, &vtbl, pro_proactor_group_proactor(group, 0), &address, &options);
	pro_proactor_group_start(group);
	pro_proactor_group_destroy(group);
	return 0;
}

/* docs/simulation.md */
int drive_by_hand(bool (*transfer_is_half_done)(void *), bool (*client_has_given_up)(void *),
		void (*begin)(struct pro_proactor *, struct pro_proactor *))
{
	struct pro_sim_options options;
	struct pro_proactor *server;
	struct pro_proactor *client;
	struct pro_sim *sim;
	int transfer = 0;
	int error;

	pro_sim_options_init(&options);
	options.faults = 0;
	pro_sim_create(&sim, &options);
	pro_sim_proactor_create(sim, "server", NULL, &server);
	pro_sim_proactor_create(sim, "client", NULL, &client);
	begin(server, client);
	pro_sim_run_until(sim, transfer_is_half_done, &transfer, 10000);
	pro_sim_partition(sim, server, client, -1);
	pro_sim_run_until(sim, client_has_given_up, &transfer, 60000);
	pro_sim_heal(sim, server, client);

	error = pro_sim_end(sim);
	pro_sim_destroy(sim);
	return error;
}
