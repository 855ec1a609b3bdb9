/* What clients of the file server may send, by its line protocol or by HTTP: what the first bytes
 * are taken for, which names pass, and a whole session in a simulated world. */
#define main file_server_main
#include "../../samples/file_service/file_server.c"
#undef main

#include <string.h>

#include "../../samples/file_service/file_name.h"
#include "../../samples/file_service/line_protocol.h"
#include "client.h"

/* Once it is decided, no further byte changes it. */
static void check_detection(const uint8_t *data, size_t size)
{
	enum session_protocol protocol = SESSION_UNDECIDED;
	size_t most = size < 2 * LINE_NAME_MAX ? size : 2 * LINE_NAME_MAX;

	for (size_t length = 1; length <= most && protocol == SESSION_UNDECIDED; length++) {
		char *copy = exact_copy(data, length);

		protocol = line_protocol_detect(copy, length);
		CHECK(protocol != SESSION_UNDECIDED || !memchr(copy, '\n', length));
		free(copy);
	}
	if (protocol != SESSION_UNDECIDED)
		CHECK(line_protocol_detect((const char *)data, size) == protocol);
}

static void check_name(const uint8_t *data, size_t size)
{
	char *copy = exact_copy(data, size);
	struct file_name name;

	if (file_name_from_line(&name, copy, size) == 0) {
		CHECK(name.length <= FILE_NAME_BYTES_MAX && strlen(name.text) == name.length);
		CHECK(name.text[0] != '/' && !strstr(name.text, "//") && !strchr(name.text, '\\'));
		CHECK(strcmp(name.text, "..") && strncmp(name.text, "../", 3));
		CHECK(!strstr(name.text, "/../"));
	}
	free(copy);
}

static void check_session(struct input input, size_t piece)
{
	static struct client client;
	struct file_service server = {
			.request_timeout_s = 10,
			.stall_timeout_s = 60,
			.limits = {.connections_max = 4, .per_address_max = 4},
	};
	struct pro_sim *sim = client_world(&server.loops.proactor);
	struct pro_addr addr;

	CHECK(pro_addr_parse(&addr, CLIENT_TARGET) == 0);
	CHECK(pro_sim_file_write(sim, "/srv/a", 0, "the file a", 10) == 0);
	CHECK(pro_sim_file_write(sim, "/srv/b/c", 0, "c", 1) == 0);
	CHECK(pro_sim_file_write(sim, "/secret", 0, "secret", 6) == 0);
	CHECK(pro_file_root_open(server.loops.proactor, "/srv", &server.root) == 0);
	CHECK(service_open(&server, &addr) == 0);
	client_start(&client, sim, input, piece);
	client_finish(&client, sim);
	pro_file_root_close(server.root);
	client_end_world(sim);
	while (server.sessions)
		session_forget(server.sessions);
	CHECK(atomic_load(&server.limits.connections) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	size_t piece = 1 + input_byte(&input);

	check_detection(input.data, input.size);
	check_name(input.data, input.size);
	check_session(input, piece);
	return 0;
}
