#include "listing.h"

#include <proactor/error.h>

#include <stdlib.h>
#include <string.h>

#include "../common/utf8.h"
#include "http_response.h"

/* The longest name of an entry that any file system of Linux has. */
#define ENTRY_NAME_MAX 255

struct entry {
	char name[ENTRY_NAME_MAX + 1];
	bool is_directory;
};

struct listing {
	size_t count;
	bool is_cut; /* there are more entries than fit */
	struct entry entries[LISTING_ENTRIES_MAX];
};

static int listing_add(void *context, const char *name, enum pro_file_type type)
{
	struct listing *listing = context;
	size_t length = strlen(name);

	/* Links and devices would be refused; there is no use in showing them. */
	if (type == PRO_FILE_OTHER || length > ENTRY_NAME_MAX)
		return 0;
	if (listing->count == LISTING_ENTRIES_MAX) {
		listing->is_cut = true;
		return 1;
	}
	struct entry *entry = &listing->entries[listing->count++];
	memcpy(entry->name, name, length + 1);
	entry->is_directory = type == PRO_FILE_DIRECTORY;
	return 0;
}

static int compare_entries(const void *left, const void *right)
{
	return strcmp(((const struct entry *)left)->name, ((const struct entry *)right)->name);
}

/* What a byte that means something in HTML is written as; NULL: as it is. */
static const char *entity_of(char byte)
{
	switch (byte) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	default:
		return NULL;
	}
}

/* Appends text so that it means nothing in HTML; what means something to a terminal, turns the
 * writing direction, or is no UTF-8 becomes a question mark. */
static int print_escaped(struct pro_message_block *page, const char *text)
{
	size_t length = strlen(text);
	int error = 0;

	while (length > 0 && !error) {
		const char *entity = entity_of(*text);
		uint32_t code;
		size_t count = utf8_decode((const unsigned char *)text, length, &code);

		if (count == 0 || utf8_is_control(code))
			error = pro_message_block_copy(page, "?", 1);
		else if (entity)
			error = pro_message_block_copy(page, entity, strlen(entity));
		else
			error = pro_message_block_copy(page, text, count);
		count += count == 0;
		text += count;
		length -= count;
	}
	return error;
}

static int print_entry(struct pro_message_block *page, const struct entry *entry)
{
	char reference[3 * ENTRY_NAME_MAX + 1];
	const char *slash = entry->is_directory ? "/" : "";

	http_encode(reference, entry->name, strlen(entry->name));
	int error = pro_message_block_printf(page, "<li><a href=\"%s%s\">", reference, slash);
	if (!error)
		error = print_escaped(page, entry->name);
	if (!error)
		error = pro_message_block_printf(page, "%s</a></li>\n", slash);
	return error;
}

static int print_page(
		struct pro_message_block *page, const struct listing *listing, const char *name)
{
	int error = pro_message_block_printf(
			page, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>/");

	if (!error)
		error = print_escaped(page, name);
	if (!error)
		error = pro_message_block_printf(page, "</title></head><body>\n<h1>/");
	if (!error)
		error = print_escaped(page, name);
	if (!error)
		error = pro_message_block_printf(
				page, "</h1>\n<ul>\n%s", *name ? "<li><a href=\"../\">../</a></li>\n" : "");
	for (size_t i = 0; i < listing->count && !error; i++)
		error = print_entry(page, &listing->entries[i]);
	if (!error)
		error = pro_message_block_printf(page, "</ul>\n%s</body></html>\n",
				listing->is_cut ? "<p>There are more entries than are shown here.</p>\n" : "");
	return error;
}

/* Bytes that suffice for the page: a byte is 3 bytes long in a reference, and 6 in HTML at most. */
static size_t page_size(const struct listing *listing, const char *name)
{
	size_t size = 512 + 2 * 6 * strlen(name);

	for (size_t i = 0; i < listing->count; i++)
		size += 64 + (3 + 6) * strlen(listing->entries[i].name);
	return size;
}

int listing_create(struct pro_file_root *root, const char *name,
		const struct pro_allocator *allocator, struct pro_message_block **page)
{
	struct listing *listing = malloc(sizeof(*listing));

	*page = NULL;
	if (!listing)
		return PRO_ENOMEM;
	listing->count = 0;
	listing->is_cut = false;
	int error = pro_file_root_list(root, name, listing_add, listing);
	if (error < 0)
		goto out;
	qsort(listing->entries, listing->count, sizeof(listing->entries[0]), compare_entries);
	*page = pro_message_block_create(allocator, page_size(listing, name));
	error = *page ? print_page(*page, listing, name) : PRO_ENOMEM;
	if (error) {
		pro_message_block_release(*page);
		*page = NULL;
	}
out:
	free(listing);
	return error;
}
