/* What clients of the chat server may say: two of them, in a simulated world; and its text, which
 * shows no terminal anything but text. */
#define main chat_server_main
#include "../../samples/chat/chat_server.c"
#undef main

#include <string.h>

#include "../../samples/chat/text.h"
#include "../../samples/common/utf8.h"
#include "client.h"

static void check_text(const uint8_t *data, size_t size)
{
	enum text_verdict verdict = text_check(data, size);
	enum text_verdict expected = TEXT_GOOD;
	size_t at = 0;

	while (at < size && expected == TEXT_GOOD) {
		uint32_t code = 0;
		size_t length = utf8_decode(data + at, size - at, &code);

		CHECK(length <= 4 && length <= size - at && code <= 0x10FFFF);
		if (length == 0)
			expected = TEXT_NOT_UTF8;
		else if (utf8_is_control(code))
			expected = TEXT_HAS_CONTROL;
		at += length;
	}
	CHECK((verdict == TEXT_GOOD) == (expected == TEXT_GOOD));
}

static void check_prefix(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	size_t length;

	CHECK(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (text_check((const unsigned char *)text, strlen(text)) == TEXT_GOOD) {
		for (size_t most = 0; most <= strlen(text) && most < 16; most++) {
			length = text_prefix(text, most);
			CHECK(length <= most && length + 4 > most);
			CHECK(text_check((const unsigned char *)text, length) == TEXT_GOOD);
		}
	}
	CHECK(!text_is_name(text) || (strlen(text) >= 1 && strlen(text) <= NAME_BYTES));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct client clients[2];
	struct input first = {data, size};
	struct input second;
	struct pro_addr addr;
	struct pro_sim *sim;
	struct chat *chat = calloc(1, sizeof(*chat));
	size_t piece = 1 + input_byte(&first);

	CHECK(chat);
	check_text(first.data, first.size);
	check_prefix(first.data, first.size);
	second = first;
	first.size /= 2;
	second.data += first.size;
	second.size -= first.size;
	sim = client_world(&chat->loops.proactor);
	chat->limits.connections_max = 8;
	chat->limits.per_address_max = 8;
	CHECK(pro_addr_parse(&addr, CLIENT_TARGET) == 0);
	CHECK(chat_open(chat, &addr) == 0);
	client_start(&clients[0], sim, first, piece);
	client_start(&clients[1], sim, second, piece);
	client_finish(&clients[0], sim);
	client_finish(&clients[1], sim);
	client_end_world(sim);
	while (chat->sessions)
		session_forget(chat->sessions);
	free(chat);
	return 0;
}
