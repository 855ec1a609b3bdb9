/* Host names of a simulated world: a table. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

static struct sim_host *find_host(struct pro_sim *sim, const char *name)
{
	for (unsigned i = 0; i < sim->hosts_count; i++)
		if (strcmp(sim->hosts[i].name, name) == 0)
			return &sim->hosts[i];
	return NULL;
}

static struct sim_host *make_host(struct pro_sim *sim, const char *name)
{
	struct sim_host *host = find_host(sim, name);

	if (host || sim->hosts_count == SIM_HOSTS_MAX)
		return host;
	host = &sim->hosts[sim->hosts_count++];
	*host = (struct sim_host){.count = 0};
	memcpy(host->name, name, strlen(name));
	return host;
}

int pro_sim_add_host(struct pro_sim *sim, const char *name, const struct pro_addr *addr)
{
	struct sim_host *host;

	if (!name || !*name || strlen(name) >= PRO_HOST_MAX || !addr ||
			pro_addr_family(addr) == PRO_FAMILY_NONE)
		return PRO_EINVAL;
	host = make_host(sim, name);
	if (!host || host->count == SIM_FOUND_MAX)
		return PRO_EFULL;
	host->addrs[host->count++] = *addr;
	return 0;
}

static void add_found(struct pro_resolve_request *request, const struct pro_addr *addr)
{
	request->found[request->count] = *addr;
	pro_addr_set_port(&request->found[request->count], request->port);
	request->count++;
}

static void find_numeric(struct pro_resolve_request *request)
{
	const char *format = strchr(request->host, ':') ? "[%s]:0" : "%s:0";
	char text[PRO_HOST_MAX + 8];
	struct pro_addr addr;

	if (strcmp(request->host, "localhost") == 0)
		snprintf(text, sizeof(text), "127.0.0.1:0");
	else
		snprintf(text, sizeof(text), format, request->host);
	if (pro_addr_parse(&addr, text) == 0)
		add_found(request, &addr);
}

bool pro__sim_try_resolve(struct sim_flight *flight, struct sim_result *result)
{
	struct pro_resolve_request *request = flight->operation->request.resolve;
	struct pro_sim *sim = flight->port->sim;
	const struct sim_host *host = find_host(sim, request->host);

	request->count = 0;
	if (pro__sim_strikes(sim, PRO_SIM_RESOLVE)) {
		result->error = PRO_ERESOLVE;
		return true;
	}
	for (unsigned i = 0; host && i < host->count; i++)
		add_found(request, &host->addrs[i]);
	if (!host)
		find_numeric(request);
	result->error = request->count > 0 ? 0 : PRO_EHOSTNOTFOUND;
	return true;
}
