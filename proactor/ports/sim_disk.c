/* The disk of a simulated world: a tree of names, sparse files of pages, and what a loss of power
 * leaves of them. */
#include "sim.h"

#include <string.h>

#define PAGE_BYTES   SIM_PAGE_BYTES
#define SECTOR_BYTES 512u

struct sim_page {
	uint64_t index;
	bool is_dirty;          /* since the last sync */
	unsigned char *durable; /* what the disk has of a dirty page; NULL: nothing, zeros */
	unsigned char bytes[PAGE_BYTES];
};

/* ---- pages: a hash table with linear probing ---- */

static size_t page_slot(const struct sim_node *node, uint64_t index)
{
	const size_t mask = node->pages_size - 1;
	size_t at = (size_t)((index * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & mask;

	while (node->pages[at] && node->pages[at]->index != index)
		at = (at + 1) & mask;
	return at;
}

static struct sim_page *page_find(const struct sim_node *node, uint64_t index)
{
	return node->pages_size > 0 ? node->pages[page_slot(node, index)] : NULL;
}

static void pages_rebuild(struct sim_node *node, size_t size)
{
	struct sim_page **old = node->pages;
	const size_t old_size = node->pages_size;

	node->pages = pro__sim_allocate(size * sizeof(*node->pages));
	node->pages_size = size;
	for (size_t i = 0; i < old_size; i++)
		if (old[i])
			node->pages[page_slot(node, old[i]->index)] = old[i];
	pro__sim_free(old);
}

static struct sim_page *page_make(struct pro_sim *sim, struct sim_node *node, uint64_t index)
{
	struct sim_page *page = page_find(node, index);

	if (page)
		return page;
	if (2 * (node->pages_count + 1) > node->pages_size)
		pages_rebuild(node, node->pages_size ? 2 * node->pages_size : 8);
	page = pro__sim_allocate(sizeof(*page));
	page->index = index;
	page->is_dirty = true;
	node->pages[page_slot(node, index)] = page;
	node->pages_count++;
	sim->disk_used += PAGE_BYTES;
	return page;
}

static void page_free(struct pro_sim *sim, struct sim_page *page)
{
	sim->disk_used -= PAGE_BYTES;
	pro__sim_free(page->durable);
	pro__sim_free(page);
}

/* Frees the pages from `first` on. */
static void pages_drop(struct pro_sim *sim, struct sim_node *node, uint64_t first)
{
	for (size_t i = 0; i < node->pages_size; i++) {
		if (!node->pages[i] || node->pages[i]->index < first)
			continue;
		page_free(sim, node->pages[i]);
		node->pages[i] = NULL;
		node->pages_count--;
	}
	if (node->pages_size > 0)
		pages_rebuild(node, node->pages_size);
}

static void page_touch(struct sim_page *page)
{
	if (page->is_dirty)
		return;
	page->is_dirty = true;
	page->durable = pro__sim_allocate(PAGE_BYTES);
	memcpy(page->durable, page->bytes, PAGE_BYTES);
}

static void page_settle(struct sim_page *page)
{
	page->is_dirty = false;
	pro__sim_free(page->durable);
	page->durable = NULL;
}

/* ---- bytes ---- */

static size_t part_of_page(uint64_t offset, size_t length)
{
	const size_t left = PAGE_BYTES - (size_t)(offset % PAGE_BYTES);

	return length < left ? length : left;
}

void pro__sim_node_read(
		const struct sim_node *node, uint64_t offset, unsigned char *bytes, size_t length)
{
	while (length > 0) {
		const struct sim_page *page = page_find(node, offset / PAGE_BYTES);
		const size_t part = part_of_page(offset, length);

		if (page)
			memcpy(bytes, page->bytes + offset % PAGE_BYTES, part);
		else
			memset(bytes, 0, part);
		bytes += part;
		offset += part;
		length -= part;
	}
}

size_t pro__sim_node_space(
		const struct pro_sim *sim, const struct sim_node *node, uint64_t offset, size_t length)
{
	uint64_t used = sim->disk_used;
	size_t done = 0;

	while (done < length) {
		if (!page_find(node, (offset + done) / PAGE_BYTES)) {
			if (used + PAGE_BYTES > sim->options.disk_bytes)
				break;
			used += PAGE_BYTES;
		}
		done += part_of_page(offset + done, length - done);
	}
	return done;
}

static void node_changed(struct pro_sim *sim, struct sim_node *node)
{
	node->modified_ns = pro__sim_now(sim);
}

void pro__sim_node_write(struct pro_sim *sim, struct sim_node *node, uint64_t offset,
		const unsigned char *bytes, size_t length)
{
	node_changed(sim, node);
	while (length > 0) {
		struct sim_page *page = page_make(sim, node, offset / PAGE_BYTES);
		const size_t part = part_of_page(offset, length);

		page_touch(page);
		memcpy(page->bytes + offset % PAGE_BYTES, bytes, part);
		bytes += part;
		offset += part;
		length -= part;
		if (offset > node->size)
			node->size = offset;
	}
}

void pro__sim_node_resize(struct pro_sim *sim, struct sim_node *node, uint64_t size)
{
	struct sim_page *last;

	node_changed(sim, node);
	if (size < node->size) {
		pages_drop(sim, node, (size + PAGE_BYTES - 1) / PAGE_BYTES);
		last = size % PAGE_BYTES ? page_find(node, size / PAGE_BYTES) : NULL;
		if (last) {
			page_touch(last);
			memset(last->bytes + size % PAGE_BYTES, 0, PAGE_BYTES - size % PAGE_BYTES);
		}
	}
	node->size = size;
	if (node->durable_size > size)
		node->durable_size = size;
}

/* ---- the power ---- */

void pro__sim_node_sync(struct sim_node *node)
{
	for (size_t i = 0; i < node->pages_size; i++)
		if (node->pages[i])
			page_settle(node->pages[i]);
	node->durable_size = node->size;
	node->is_new = false;
	for (struct sim_node *child = node->children; child; child = child->next)
		pro__sim_node_sync(child);
}

/* A page is on the disk, or is not, or is in its first sectors. */
static void page_crash(struct pro_sim *sim, struct sim_page *page)
{
	const size_t sectors = PAGE_BYTES / SECTOR_BYTES;
	size_t kept;

	if (!page->is_dirty)
		return;
	kept = pro__sim_coin(sim) ? (size_t)pro__sim_below(sim, sectors + 1)
							  : (pro__sim_coin(sim) ? sectors : 0);
	kept *= SECTOR_BYTES;
	if (page->durable)
		memcpy(page->bytes + kept, page->durable + kept, PAGE_BYTES - kept);
	else
		memset(page->bytes + kept, 0, PAGE_BYTES - kept);
	page_settle(page);
}

void pro__sim_node_crash(struct pro_sim *sim, struct sim_node *node)
{
	struct sim_node *next;

	for (struct sim_node *child = node->children; child; child = next) {
		next = child->next;
		if (child->is_new && child->type == SIM_NODE_FILE && pro__sim_coin(sim))
			pro__sim_node_remove(sim, child);
		else
			pro__sim_node_crash(sim, child);
	}
	for (size_t i = 0; i < node->pages_size; i++)
		if (node->pages[i])
			page_crash(sim, node->pages[i]);
	if (node->size > node->durable_size && pro__sim_coin(sim))
		pro__sim_node_resize(sim, node, node->durable_size);
	node->durable_size = node->size;
	node->is_new = false;
}

/* ---- names ---- */

struct sim_node *pro__sim_node_child(
		const struct sim_node *directory, const char *name, size_t length)
{
	struct sim_node *child;

	for (child = directory->children; child; child = child->next)
		if (strlen(child->name) == length && memcmp(child->name, name, length) == 0)
			return child;
	return NULL;
}

struct sim_node *pro__sim_node_make(
		struct pro_sim *sim, struct sim_node *parent, const char *name, enum sim_node_type type)
{
	struct sim_node *node = pro__sim_allocate(sizeof(*node));
	const size_t length = strlen(name);

	node->name = pro__sim_allocate(length + 1);
	memcpy(node->name, name, length);
	node->type = type;
	node->parent = parent;
	node->number = ++sim->nodes_made;
	node->references = 1;
	node->is_new = true;
	node->modified_ns = pro__sim_now(sim);
	if (parent) {
		node->next = parent->children;
		parent->children = node;
	}
	return node;
}

void pro__sim_node_release(struct pro_sim *sim, struct sim_node *node)
{
	if (--node->references > 0)
		return;
	pages_drop(sim, node, 0);
	pro__sim_free(node->pages);
	pro__sim_free(node->name);
	pro__sim_free(node);
}

static void node_unlink(struct sim_node *node)
{
	struct sim_node **link = &node->parent->children;

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	node->parent = NULL;
	node->next = NULL;
}

void pro__sim_node_remove(struct pro_sim *sim, struct sim_node *node)
{
	while (node->children)
		pro__sim_node_remove(sim, node->children);
	if (node->parent)
		node_unlink(node);
	pro__sim_node_release(sim, node);
}
