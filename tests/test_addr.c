/* Addresses: what is read, what is refused, what is printed, what is equal. */
#include <proactor/addr.h>
#include <proactor/error.h>

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "../proactor/ports/sockaddr.h"
#include "support/suite.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct pro_addr parsed(const char *text)
{
	struct pro_addr addr;
	int error = pro_addr_parse(&addr, text);

	ck_assert_msg(error == 0, "%s: %s", text, pro_error_name(error));
	return addr;
}

static struct pro_addr from_system(const void *sockaddr, size_t length)
{
	struct pro_addr addr = {.length = (uint32_t)length};

	memcpy(addr.storage.bytes, sockaddr, length);
	return addr;
}

static void assert_empty(const struct pro_addr *addr)
{
	static const struct pro_addr empty;

	ck_assert_mem_eq(addr, &empty, sizeof(empty));
}

/* ---- reading and printing ---- */

struct spelling {
	const char *text;
	const char *printed;
	enum pro_family family;
	uint16_t port;
};

START_TEST(addresses_are_read_and_printed)
{
	static const struct spelling spellings[] = {
			{"192.0.2.1:80", "192.0.2.1:80", PRO_FAMILY_INET, 80},
			{"0.0.0.0:0", "0.0.0.0:0", PRO_FAMILY_INET, 0},
			{"255.255.255.255:65535", "255.255.255.255:65535", PRO_FAMILY_INET, 65535},
			{"127.0.0.1:0080", "127.0.0.1:80", PRO_FAMILY_INET, 80},
			{":80", "0.0.0.0:80", PRO_FAMILY_INET, 80},
			{"*:80", "0.0.0.0:80", PRO_FAMILY_INET, 80},
			{"[::]:80", "[::]:80", PRO_FAMILY_INET6, 80},
			{"[::1]:0", "[::1]:0", PRO_FAMILY_INET6, 0},
			{"[2001:DB8:0:0:0:0:0:1]:443", "[2001:db8::1]:443", PRO_FAMILY_INET6, 443},
			{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]:1", PRO_FAMILY_INET6, 1},
			{"[fe80::1%4294967295]:9", "[fe80::1%4294967295]:9", PRO_FAMILY_INET6, 9},
			{"unix:/run/x.sock", "unix:/run/x.sock", PRO_FAMILY_UNIX, 0},
			{"unix:/with space:80", "unix:/with space:80", PRO_FAMILY_UNIX, 0},
			{"unix:/", "unix:/", PRO_FAMILY_UNIX, 0},
			{"unix:@name", "unix:@name", PRO_FAMILY_UNIX, 0},
			{"unix:@@", "unix:@@", PRO_FAMILY_UNIX, 0},
			{"unix:/a\nb\x1b\x7f\xff", "unix:/a\\x0ab\\x1b\\x7f\\xff", PRO_FAMILY_UNIX, 0},
	};

	for (size_t i = 0; i < COUNT(spellings); i++) {
		const struct spelling *spelling = &spellings[i];
		struct pro_addr addr = parsed(spelling->text);
		char text[PRO_ADDR_TEXT_MAX];

		ck_assert_int_eq(pro_addr_family(&addr), spelling->family);
		ck_assert_uint_eq(pro_addr_port(&addr), spelling->port);
		ck_assert_ptr_eq(pro_addr_format(&addr, text, sizeof(text)), text);
		ck_assert_str_eq(text, spelling->printed);
	}
}
END_TEST

START_TEST(printed_addresses_are_read_again)
{
	static const char *const texts[] = {"192.0.2.1:80", "[2001:db8::1]:443", "[fe80::1%7]:1",
			"unix:/run/x.sock", "unix:@name", "unix:/back\\slash"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct pro_addr addr = parsed(texts[i]);
		struct pro_addr again;
		char text[PRO_ADDR_TEXT_MAX];

		again = parsed(pro_addr_format(&addr, text, sizeof(text)));
		ck_assert(pro_addr_equal(&addr, &again));
	}
}
END_TEST

START_TEST(what_is_no_address_is_refused)
{
	static const char *const texts[] = {NULL, "", ":", "::", "80", "127.0.0.1",
			"127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:99999999999999999999", "127.0.0.1:-1",
			"127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:1 ", "127.0.0.1:0x50", "127.0.0.1:http",
			"127.0.0.1:80:80", " 127.0.0.1:80", "127.0.0.1 :80", "127.0.0.1%1:80", "127.0.0.1/8:80",
			"127.1:80", "1:80", "127.0.0.256:80", "127.0.0.01:80", "127.0.0.1.:80", "1.2.3.4.5:80",
			"0x7f.1:80", "host.0X1f:80", "0x:80", "a.1:80", "::1:80", "::1", "[]:80", "[::1]",
			"[::1]80", "[::1]:", "[::1:80", "[::1]:65536", "[::1]x:80", "[::1]]:80", "[[::1]]:80",
			"[127.0.0.1]:80", "[localhost]:80", "[::g]:80", "[::1%]:80", "[::1%0]:80",
			"[::1%nosuchinterface0]:80", "[::1%4294967296]:80", "[1:2:3:4:5:6:7:8:9]:80",
			"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]:80", "host name:80", "host\n:80",
			"user@host:80", "host?:80", "http://host:80", "unix:", "unix:@", "unix:relative",
			"UNIX:/path"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct pro_addr addr;
		int error;

		memset(&addr, 0xff, sizeof(addr));
		error = pro_addr_parse(&addr, texts[i]);
		ck_assert_msg(
				error == PRO_EINVAL, "%s: %s", texts[i] ? texts[i] : "NULL", pro_error_name(error));
		assert_empty(&addr);
	}
}
END_TEST

START_TEST(host_names_are_left_to_the_resolver)
{
	static const char *const texts[] = {"localhost:80", "example.com:443", "a.b-c_d.example.:1",
			"xn--bcher-kva.example:0", "b\303\274cher.example:80", "1host:80", "3com.com:80",
			"0xhost:80", "1x:80", "unix:80"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct pro_addr addr;

		memset(&addr, 0xff, sizeof(addr));
		ck_assert_msg(pro_addr_parse(&addr, texts[i]) == PRO_EHOSTNOTFOUND, "%s", texts[i]);
		assert_empty(&addr);
	}
}
END_TEST

START_TEST(scopes_are_interfaces)
{
	struct if_nameindex *interfaces = if_nameindex();
	struct sockaddr_in6 inet6;
	struct pro_addr addr;
	char expected[PRO_ADDR_TEXT_MAX];
	char text[PRO_ADDR_TEXT_MAX];

	ck_assert_ptr_nonnull(interfaces);
	for (struct if_nameindex *each = interfaces; each->if_index != 0; each++) {
		snprintf(expected, sizeof(expected), "[fe80::1%%%s]:80", each->if_name);
		addr = parsed(expected);
		memcpy(&inet6, addr.storage.bytes, sizeof(inet6));
		ck_assert_uint_eq(inet6.sin6_scope_id, each->if_index);
		ck_assert_str_eq(pro_addr_format(&addr, text, sizeof(text)), expected);

		snprintf(text, sizeof(text), "[fe80::1%%%u]:80", each->if_index);
		addr = parsed(text);
		ck_assert_str_eq(pro_addr_format(&addr, text, sizeof(text)), expected);
	}
	if_freenameindex(interfaces);
}
END_TEST

START_TEST(paths_fit_to_the_last_byte)
{
	const size_t room = sizeof(((struct sockaddr_un *)0)->sun_path);
	char text[256] = "unix:/";
	struct sockaddr_un unix_addr;
	struct pro_addr addr;

	/* A path keeps its NUL. */
	memset(text + 5, '/', room);
	text[5 + room] = '\0';
	ck_assert_int_eq(pro_addr_parse(&addr, text), PRO_ENAMETOOLONG);
	assert_empty(&addr);
	text[5 + room - 1] = '\0';
	addr = parsed(text);
	memcpy(&unix_addr, addr.storage.bytes, sizeof(unix_addr));
	ck_assert_str_eq(unix_addr.sun_path, text + 5);
	ck_assert_uint_eq(addr.length, sizeof(unix_addr));

	/* An abstract name has none. */
	memset(text + 5, '@', room + 1);
	text[5 + room + 1] = '\0';
	ck_assert_int_eq(pro_addr_parse(&addr, text), PRO_ENAMETOOLONG);
	text[5 + room] = '\0';
	addr = parsed(text);
	memcpy(&unix_addr, addr.storage.bytes, sizeof(unix_addr));
	ck_assert_int_eq(unix_addr.sun_path[0], 0);
	ck_assert_mem_eq(unix_addr.sun_path + 1, text + 6, room - 1);
}
END_TEST

START_TEST(text_is_cut_at_whole_pieces)
{
	struct pro_addr addr = parsed("unix:/a\n/b");
	struct pro_addr inet = parsed("192.0.2.1:80");
	const char *const expected[] = {NULL, "", "", "", "", "", "unix:", "unix:/", "unix:/a",
			"unix:/a", "unix:/a", "unix:/a", "unix:/a\\x0a", "unix:/a\\x0a/", "unix:/a\\x0a/b",
			"unix:/a\\x0a/b"};
	char text[32];

	for (size_t size = 0; size < COUNT(expected); size++) {
		memset(text, 'x', sizeof(text));
		ck_assert_ptr_eq(pro_addr_format(&addr, text, size), text);
		if (expected[size])
			ck_assert_str_eq(text, expected[size]);
		ck_assert_int_eq(text[size], 'x');
	}
	ck_assert_str_eq(pro_addr_format(&inet, text, 12), "");
	ck_assert_str_eq(pro_addr_format(&inet, text, 13), "192.0.2.1:80");
}
END_TEST

/* ---- what systems hand out ---- */

START_TEST(sockets_without_a_name_have_a_family)
{
	struct sockaddr_un unix_addr = {.sun_family = AF_UNIX};
	struct pro_addr addr = from_system(&unix_addr, offsetof(struct sockaddr_un, sun_path));
	char text[PRO_ADDR_TEXT_MAX];

	ck_assert_int_eq(pro_addr_family(&addr), PRO_FAMILY_UNIX);
	ck_assert_str_eq(pro_addr_format(&addr, text, sizeof(text)), "unix:");
	ck_assert(pro_addr_equal(&addr, &addr));
}
END_TEST

START_TEST(a_path_with_and_without_its_nul_is_the_same)
{
	struct sockaddr_un unix_addr = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
	struct pro_addr addr = parsed("unix:/run/x");
	struct pro_addr bare =
			from_system(&unix_addr, offsetof(struct sockaddr_un, sun_path) + strlen("/run/x"));
	struct pro_addr padded = from_system(&unix_addr, sizeof(unix_addr));

	ck_assert(pro_addr_equal(&addr, &bare));
	ck_assert(pro_addr_equal(&addr, &padded));
}
END_TEST

/* A system may count a NUL behind the last byte of its structure. */
START_TEST(a_path_may_be_as_long_as_its_room)
{
	struct sockaddr_un unix_addr[2] = {{.sun_family = AF_UNIX}, {.sun_family = 0}};
	char expected[PRO_ADDR_TEXT_MAX] = "unix:";
	char text[PRO_ADDR_TEXT_MAX];
	struct pro_addr addr;

	memset(unix_addr[0].sun_path, '/', sizeof(unix_addr[0].sun_path));
	memset(expected + 5, '/', sizeof(unix_addr[0].sun_path));
	addr = from_system(unix_addr, sizeof(unix_addr[0]) + 1);
	ck_assert_str_eq(pro_addr_format(&addr, text, sizeof(text)), expected);
}
END_TEST

START_TEST(abstract_names_may_hold_any_byte)
{
	struct sockaddr_un unix_addr = {.sun_family = AF_UNIX, .sun_path = "\0a\0b"};
	const size_t begin = offsetof(struct sockaddr_un, sun_path);
	struct pro_addr addr = from_system(&unix_addr, begin + 4);
	struct pro_addr shorter = from_system(&unix_addr, begin + 3);
	char text[PRO_ADDR_TEXT_MAX];

	ck_assert_str_eq(pro_addr_format(&addr, text, sizeof(text)), "unix:@a\\x00b");
	ck_assert(!pro_addr_equal(&addr, &shorter));
}
END_TEST

START_TEST(nonsense_is_an_empty_address)
{
	struct sockaddr_in inet = {.sin_family = AF_INET};
	struct sockaddr_in6 inet6 = {.sin6_family = AF_INET6};
	struct sockaddr other = {.sa_family = 0xfe};
	struct pro_addr addrs[] = {{.length = 0}, {.length = 1}, from_system(&other, sizeof(other)),
			from_system(&inet, sizeof(inet) - 1), from_system(&inet6, sizeof(inet6) - 1)};

	for (size_t i = 0; i < COUNT(addrs); i++) {
		char text[8] = "xxxxxxx";

		ck_assert_int_eq(pro_addr_family(&addrs[i]), PRO_FAMILY_NONE);
		ck_assert_str_eq(pro_addr_format(&addrs[i], text, sizeof(text)), "");
		ck_assert_uint_eq(pro_addr_port(&addrs[i]), 0);
	}
}
END_TEST

/* ---- splitting and resolving ---- */

START_TEST(text_is_split)
{
	static const struct {
		const char *text;
		const char *host;
		uint16_t port;
	} splits[] = {{"example.com:80", "example.com", 80}, {"192.0.2.1:1", "192.0.2.1", 1},
			{"[::1]:65535", "::1", 65535}, {"[fe80::1%eth0]:7", "fe80::1%eth0", 7}, {":80", "", 80},
			{"*:80", "*", 80}};
	char host[PRO_HOST_MAX];
	uint16_t port;

	for (size_t i = 0; i < COUNT(splits); i++) {
		ck_assert_int_eq(pro_addr_split(splits[i].text, host, &port), 0);
		ck_assert_str_eq(host, splits[i].host);
		ck_assert_uint_eq(port, splits[i].port);
	}
}
END_TEST

START_TEST(a_split_that_fails_leaves_no_trace)
{
	static const char *const texts[] = {NULL, "", "host", "host:", "host:65536", "host:80x",
			"ho st:80", "[::1]", "[host]:80", "[fe80::1%]:80", "127.1:80", "a:b:80"};
	char host[PRO_HOST_MAX] = "kept";
	uint16_t port = 4711;

	for (size_t i = 0; i < COUNT(texts); i++) {
		ck_assert_int_eq(pro_addr_split(texts[i], host, &port), PRO_EINVAL);
		ck_assert_str_eq(host, "kept");
		ck_assert_uint_eq(port, 4711);
	}
}
END_TEST

START_TEST(the_longest_host_fits)
{
	char text[PRO_HOST_MAX + 8];
	char host[PRO_HOST_MAX];
	uint16_t port;

	memset(text, 'a', sizeof(text));
	memcpy(text + PRO_HOST_MAX - 1, ":80", 4);
	ck_assert_int_eq(pro_addr_split(text, host, &port), 0);
	ck_assert_uint_eq(strlen(host), PRO_HOST_MAX - 1);
	memset(text, 'a', sizeof(text));
	memcpy(text + PRO_HOST_MAX, ":80", 4);
	ck_assert_int_eq(pro_addr_split(text, host, &port), PRO_EINVAL);
}
END_TEST

START_TEST(numbers_and_localhost_resolve)
{
	struct pro_addr loopback = parsed("127.0.0.1:80");
	struct pro_addr loopback6 = parsed("[::1]:80");
	struct pro_addr addr;

	ck_assert_int_eq(pro_addr_resolve(&addr, "127.0.0.1:80"), 0);
	ck_assert(pro_addr_equal(&addr, &loopback));
	ck_assert_int_eq(pro_addr_resolve(&addr, "localhost:80"), 0);
	ck_assert(pro_addr_equal(&addr, &loopback) || pro_addr_equal(&addr, &loopback6));
	ck_assert_int_eq(pro_addr_resolve(&addr, "localhost"), PRO_EINVAL);
	assert_empty(&addr);
	ck_assert_int_eq(pro_addr_resolve(&addr, NULL), PRO_EINVAL);
}
END_TEST

START_TEST(names_that_cannot_exist_are_not_found)
{
	struct pro_addr addr;
	char text[80];
	int error;

	/* A label has at most 63 bytes, so that no server is asked. */
	memset(text, 'a', sizeof(text));
	memcpy(text + 70, ":80", 4);
	error = pro_addr_resolve(&addr, text);
	ck_assert_msg(error == PRO_EHOSTNOTFOUND || error == PRO_ERESOLVE, "%s", pro_error_name(error));
	assert_empty(&addr);
}
END_TEST

/* ---- comparing ---- */

START_TEST(equal_is_family_host_and_port)
{
	static const char *const texts[] = {"192.0.2.1:80", "192.0.2.1:81", "192.0.2.2:80",
			"[::ffff:192.0.2.1]:80", "[::1]:80", "[::1%5]:80", "[::1]:81", "unix:/a", "unix:/ab",
			"unix:@a", "unix:@ab"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		for (size_t j = 0; j < COUNT(texts); j++) {
			struct pro_addr left = parsed(texts[i]);
			struct pro_addr right = parsed(texts[j]);

			ck_assert_msg(pro_addr_equal(&left, &right) == (i == j), "%s %s", texts[i], texts[j]);
			if (i == j)
				ck_assert(pro_addr_same_host(&left, &right));
		}
	}
}
END_TEST

START_TEST(same_host_ignores_the_port)
{
	static const struct {
		const char *left;
		const char *right;
		bool is_same;
	} pairs[] = {{"192.0.2.1:1", "192.0.2.1:2", true}, {"192.0.2.1:1", "192.0.2.2:1", false},
			{"[2001:db8::1]:1", "[2001:db8::1]:2", true}, {"[::1]:1", "[::2]:1", false},
			{"[fe80::1%1]:1", "[fe80::1%2]:1", false},
			{"[::ffff:192.0.2.1]:1", "192.0.2.1:2", true},
			{"[::ffff:192.0.2.2]:1", "192.0.2.1:2", false}, {"[::]:1", "0.0.0.0:1", false},
			{"unix:/a", "unix:@b", true}, {"unix:/a", "127.0.0.1:1", false}};
	struct pro_addr empty = {.length = 0};

	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct pro_addr left = parsed(pairs[i].left);
		struct pro_addr right = parsed(pairs[i].right);

		ck_assert(pro_addr_same_host(&left, &right) == pairs[i].is_same);
		ck_assert(pro_addr_same_host(&right, &left) == pairs[i].is_same);
		ck_assert(!pro_addr_same_host(&left, &empty));
		ck_assert(!pro_addr_same_host(&empty, &left));
		ck_assert(!pro_addr_equal(&left, &empty));
	}
	ck_assert(pro_addr_same_host(&empty, &empty));
	ck_assert(pro_addr_equal(&empty, &empty));
}
END_TEST

START_TEST(a_client_has_a_whole_network_of_ipv6)
{
	static const struct {
		const char *left;
		const char *right;
		bool is_same;
	} pairs[] = {{"192.0.2.1:1", "192.0.2.1:2", true}, {"192.0.2.1:1", "192.0.2.2:1", false},
			{"[2001:db8::1]:1", "[2001:db8::1]:2", true},
			{"[2001:db8::1]:1", "[2001:db8::ffff:ffff:ffff:ffff]:1", true},
			{"[2001:db8:0:1::]:1", "[2001:db8:0:1:8000::]:1", true},
			{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
			{"[fe80::1%1]:1", "[fe80::2%1]:1", true}, {"[fe80::1%1]:1", "[fe80::1%2]:1", false},
			{"[::ffff:192.0.2.1]:1", "192.0.2.1:2", true},
			{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]:2", true},
			{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1", false},
			{"[::ffff:192.0.2.2]:1", "192.0.2.1:1", false}, {"[::1]:1", "0.0.0.1:1", false},
			{"[::1]:1", "[::ffff:0.0.0.1]:1", false}, {"unix:/a", "unix:/a", false},
			{"unix:/a", "127.0.0.1:1", false}};
	struct pro_addr empty = {.length = 0};

	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct pro_addr left = parsed(pairs[i].left);
		struct pro_addr right = parsed(pairs[i].right);

		ck_assert_msg(pro_addr_same_client(&left, &right) == pairs[i].is_same, "%s %s",
				pairs[i].left, pairs[i].right);
		ck_assert(pro_addr_same_client(&right, &left) == pairs[i].is_same);
		ck_assert(!pro_addr_same_client(&left, &empty));
		ck_assert(!pro_addr_same_client(&empty, &left));
	}
	ck_assert(!pro_addr_same_client(&empty, &empty));
}
END_TEST

START_TEST(ports_are_set)
{
	struct pro_addr inet = parsed("192.0.2.1:80");
	struct pro_addr inet6 = parsed("[fe80::1%3]:80");
	struct pro_addr path = parsed("unix:/a");
	struct pro_addr path_before = path;
	struct pro_addr empty = {.length = 0};
	struct pro_addr inet_after = parsed("192.0.2.1:65535");
	struct pro_addr inet6_after = parsed("[fe80::1%3]:0");

	pro_addr_set_port(&inet, 65535);
	ck_assert(pro_addr_equal(&inet, &inet_after));
	pro_addr_set_port(&inet6, 0);
	ck_assert(pro_addr_equal(&inet6, &inet6_after));
	pro_addr_set_port(&path, 80);
	ck_assert_mem_eq(&path, &path_before, sizeof(path));
	pro_addr_set_port(&empty, 80);
	assert_empty(&empty);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("addr");
	TCase *tcase = tcase_create("addr");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, addresses_are_read_and_printed);
	tcase_add_test(tcase, printed_addresses_are_read_again);
	tcase_add_test(tcase, what_is_no_address_is_refused);
	tcase_add_test(tcase, host_names_are_left_to_the_resolver);
	tcase_add_test(tcase, scopes_are_interfaces);
	tcase_add_test(tcase, paths_fit_to_the_last_byte);
	tcase_add_test(tcase, text_is_cut_at_whole_pieces);
	tcase_add_test(tcase, sockets_without_a_name_have_a_family);
	tcase_add_test(tcase, a_path_with_and_without_its_nul_is_the_same);
	tcase_add_test(tcase, a_path_may_be_as_long_as_its_room);
	tcase_add_test(tcase, abstract_names_may_hold_any_byte);
	tcase_add_test(tcase, nonsense_is_an_empty_address);
	tcase_add_test(tcase, text_is_split);
	tcase_add_test(tcase, a_split_that_fails_leaves_no_trace);
	tcase_add_test(tcase, the_longest_host_fits);
	tcase_add_test(tcase, numbers_and_localhost_resolve);
	tcase_add_test(tcase, names_that_cannot_exist_are_not_found);
	tcase_add_test(tcase, equal_is_family_host_and_port);
	tcase_add_test(tcase, same_host_ignores_the_port);
	tcase_add_test(tcase, a_client_has_a_whole_network_of_ipv6);
	tcase_add_test(tcase, ports_are_set);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
