/* Addresses: what is understood is printed so that it is understood alike. */
#include "fuzz.h"

#include <proactor/addr.h>
#include <proactor/error.h>

#include <string.h>

static void check_split(const char *text)
{
	char host[PRO_HOST_MAX];
	uint16_t port;

	if (pro_addr_split(text, host, &port) == 0)
		CHECK(strlen(host) < sizeof(host) && strlen(host) <= strlen(text));
}

/* Into memory of every size, of which nothing beyond is touched. */
static void check_sizes(const struct pro_addr *addr, const char *whole)
{
	for (size_t size = 1; size <= strlen(whole) + 1; size++) {
		char *text = malloc(size);

		CHECK(text);
		CHECK(pro_addr_format(addr, text, size) == text);
		CHECK(strlen(text) < size);
		if (size == strlen(whole) + 1)
			CHECK(!strcmp(text, whole));
		free(text);
	}
}

static void check_again(const struct pro_addr *addr, const char *text)
{
	struct pro_addr again;

	check_sizes(addr, text);
	CHECK(pro_addr_parse(&again, text) == 0);
	CHECK(pro_addr_equal(addr, &again));
	CHECK(pro_addr_same_host(addr, &again));
	pro_addr_set_port(&again, 4711);
	CHECK(pro_addr_family(addr) == PRO_FAMILY_UNIX || pro_addr_port(&again) == 4711);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pro_addr addr;
	char text[PRO_ADDR_TEXT_MAX];
	char *input = malloc(size + 1);

	CHECK(input);
	if (size > 0)
		memcpy(input, data, size);
	input[size] = '\0';
	check_split(input);
	if (pro_addr_parse(&addr, input) == 0) {
		pro_addr_format(&addr, text, sizeof(text));
		CHECK(pro_addr_family(&addr) != PRO_FAMILY_NONE);
		/* Unprintable bytes of a path are escaped, and long paths cut. */
		if (pro_addr_family(&addr) != PRO_FAMILY_UNIX || !strcmp(text, input))
			check_again(&addr, text);
	}
	free(input);
	return 0;
}
