/* Message blocks against a model: what was put in comes out, shared bytes live as long as a sharer,
 * and memory is given back. */
#include "fuzz.h"

#include <proactor/error.h>
#include <proactor/message_block.h>

#include <string.h>

#define BLOCKS    6
#define BYTES_MAX 300

/* A chain of one or two blocks, and the bytes that it should hold unread. */
struct slot {
	struct pro_message_block *block;
	unsigned char expected[2 * BYTES_MAX];
	size_t length; /* of the first block's; the second's come behind */
	size_t cont_length;
};

static struct slot slots[BLOCKS];
static size_t allocated;
static size_t allocations_left;

static void *count_allocate(void *context, size_t size)
{
	(void)context;
	if (allocations_left == 0)
		return NULL;
	allocations_left--;
	allocated++;
	return malloc(size);
}

static void *count_reallocate(void *context, void *memory, size_t size)
{
	(void)context;
	return realloc(memory, size);
}

static void count_deallocate(void *context, void *memory)
{
	(void)context;
	allocated -= memory != NULL;
	free(memory);
}

static const struct pro_allocator allocator = {
		.allocate = count_allocate,
		.reallocate = count_reallocate,
		.deallocate = count_deallocate,
};

static void check_slot(const struct slot *slot)
{
	const struct pro_message_block *block = slot->block;

	if (!block)
		return;
	CHECK(block->rd <= block->wr && block->wr <= block->size);
	CHECK(pro_message_block_length(block) == slot->length);
	CHECK(slot->length == 0 ||
			!memcmp(pro_message_block_rd_ptr(block), slot->expected, slot->length));
	CHECK(pro_message_block_total_length(block) == slot->length + slot->cont_length);
	CHECK(pro_message_block_reference_count(block) >= 1);
	CHECK(pro_message_block_reference_count(block) <= 2 * BLOCKS);
	if (block->cont)
		CHECK(!memcmp(pro_message_block_rd_ptr(block->cont), slot->expected + BYTES_MAX,
				slot->cont_length));
}

static void empty_slot(struct slot *slot)
{
	pro_message_block_release(slot->block);
	memset(slot, 0, sizeof(*slot));
}

static void create(struct input *input, struct slot *slot)
{
	empty_slot(slot);
	slot->block = pro_message_block_create(&allocator, input_below(input, BYTES_MAX + 1));
}

static void copy(struct input *input, struct slot *slot)
{
	size_t length = input_below(input, BYTES_MAX);
	struct pro_message_block *block = slot->block;
	unsigned char bytes[BYTES_MAX];
	bool fits = length <= pro_message_block_space(block);

	/* Nobody writes to bytes that are shared. */
	if (pro_message_block_reference_count(block) > 1)
		return;
	memset(bytes, input_byte(input), sizeof(bytes));
	CHECK(pro_message_block_copy(block, bytes, length) == (fits ? 0 : PRO_EFULL));
	if (fits) {
		memcpy(slot->expected + slot->length, bytes, length);
		slot->length += length;
	}
}

static void print(struct input *input, struct slot *slot)
{
	struct pro_message_block *block = slot->block;
	int width = (int)input_below(input, BYTES_MAX);
	char text[BYTES_MAX + 1];
	size_t length = (size_t)snprintf(text, sizeof(text), "%*d", width, 7);
	bool fits = length <= pro_message_block_space(block);

	if (pro_message_block_reference_count(block) > 1)
		return;
	CHECK(pro_message_block_printf(block, "%*d", width, 7) == (fits ? 0 : PRO_EFULL));
	if (!fits)
		return;
	memcpy(slot->expected + slot->length, text, length);
	slot->length += length;
}

static void consume(struct input *input, struct slot *slot)
{
	size_t bytes = input_below(input, (uint32_t)slot->length + 1);

	slot->block->rd += bytes;
	slot->length -= bytes;
	memmove(slot->expected, slot->expected + bytes, slot->length);
}

static void crunch(struct slot *slot)
{
	bool is_shared = pro_message_block_reference_count(slot->block) > 1;

	CHECK(pro_message_block_crunch(slot->block) == (is_shared ? PRO_EBUSY : 0));
	CHECK(is_shared || slot->block->rd == 0);
}

static void duplicate(struct slot *slot, struct slot *target)
{
	if (slot == target)
		return;
	empty_slot(target);
	*target = *slot;
	target->block = pro_message_block_duplicate(slot->block);
	if (!target->block)
		memset(target, 0, sizeof(*target));
	else
		CHECK(pro_message_block_reference_count(slot->block) > 1);
}

/* The target's block becomes the rest of this one's message. */
static void chain(struct slot *slot, struct slot *target)
{
	if (slot == target || !target->block || target->block->cont || slot->block->cont)
		return;
	slot->block->cont = target->block;
	slot->cont_length = target->length;
	memcpy(slot->expected + BYTES_MAX, target->expected, target->length);
	memset(target, 0, sizeof(*target));
}

static void act(struct input *input)
{
	uint8_t action = input_byte(input) % 9;
	struct slot *slot = &slots[input_below(input, BLOCKS)];

	if (action == 0 || !slot->block) {
		create(input, slot);
		return;
	}
	switch (action) {
	case 1:
		copy(input, slot);
		break;
	case 2:
		print(input, slot);
		break;
	case 3:
		consume(input, slot);
		break;
	case 4:
		crunch(slot);
		break;
	case 5:
		duplicate(slot, &slots[input_below(input, BLOCKS)]);
		break;
	case 6:
		chain(slot, &slots[input_below(input, BLOCKS)]);
		break;
	case 7:
		pro_message_block_reset(slot->block);
		slot->length = 0;
		break;
	default:
		empty_slot(slot);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};

	allocations_left = input_byte(&input);
	while (input.size > 0) {
		act(&input);
		for (unsigned i = 0; i < BLOCKS; i++)
			check_slot(&slots[i]);
	}
	for (unsigned i = 0; i < BLOCKS; i++)
		empty_slot(&slots[i]);
	CHECK(allocated == 0);
	return 0;
}
