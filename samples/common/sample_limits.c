/* How many clients a service lets in. */
#include "sample.h"

struct sample_option sample_connections_option(struct sample_limits *limits)
{
	return (struct sample_option){
			.name = "--max-connections",
			.value = "N",
			.help = "clients at once, more are closed; default 4096",
			.number = &limits->connections_max,
			.number_min = 1,
			.number_max = SAMPLE_CONNECTIONS_MAX,
	};
}

struct sample_option sample_per_address_option(struct sample_limits *limits)
{
	return (struct sample_option){
			.name = "--max-per-address",
			.value = "N",
			.help = "of them from one IPv4 address or IPv6 /64; default 1024",
			.number = &limits->per_address_max,
			.number_min = 1,
			.number_max = SAMPLE_CONNECTIONS_MAX,
	};
}

bool sample_limits_enter(struct sample_limits *limits)
{
	if (atomic_fetch_add(&limits->connections, 1) < limits->connections_max)
		return true;
	atomic_fetch_sub(&limits->connections, 1);
	sample_log("refused a connection: %u are there", limits->connections_max);
	return false;
}

void sample_limits_leave(struct sample_limits *limits)
{
	atomic_fetch_sub(&limits->connections, 1);
}
