/* An allocator that finds what is done to memory after its end, with any compiler: pieces that were
 * freed are filled with a pattern and kept a while. */
#include "sim.h"

#include <stddef.h>
#include <string.h>

#define LIVE_MAGIC  UINT32_C(0x4C495645)
#define FREED_MAGIC UINT32_C(0x46524544)
#define NEW_BYTE    0xA7
#define FREED_BYTE  0xDB
#define KEPT_BYTES  (8u * 1024 * 1024)
/* Of a long piece only the begin is filled and looked at. */
#define FILLED_MAX 4096u

struct sim_piece {
	struct pro_list_node link; /* live, or freed: the oldest first */
	size_t size;
	uint64_t step; /* of its allocation, or of its end */
	uint32_t magic;
	_Alignas(max_align_t) unsigned char bytes[];
};

/* Of the sanitizer, if there is one. */
#if defined(__GNUC__) && !defined(_WIN32)
extern void __asan_poison_memory_region(void const volatile *bytes, size_t size)
		__attribute__((weak));
extern void __asan_unpoison_memory_region(void const volatile *bytes, size_t size)
		__attribute__((weak));

static void hide(struct sim_piece *piece)
{
	/* Not covered: it is not measured with the sanitizer. */
	if (__asan_poison_memory_region)
		__asan_poison_memory_region(piece->bytes, piece->size);
}

static void show(struct sim_piece *piece)
{
	/* Not covered: it is not measured with the sanitizer. */
	if (__asan_unpoison_memory_region)
		__asan_unpoison_memory_region(piece->bytes, piece->size);
}
#else
static void hide(struct sim_piece *piece)
{
	(void)piece;
}

static void show(struct sim_piece *piece)
{
	(void)piece;
}
#endif

static size_t filled(const struct sim_piece *piece)
{
	return piece->size < FILLED_MAX ? piece->size : FILLED_MAX;
}

static struct sim_piece *piece_from_link(struct pro_list_node *node)
{
	return pro_container_of(node, struct sim_piece, link);
}

static struct sim_piece *piece_of(void *memory)
{
	return pro_container_of(memory, struct sim_piece, bytes);
}

static void *sim_memory_allocate(void *context, size_t size)
{
	struct pro_sim *sim = context;
	struct sim_piece *piece;

	if (size > SIZE_MAX / 2)
		return NULL;
	piece = pro__default_allocator.allocate(pro__default_allocator.context, sizeof(*piece) + size);
	if (!piece)
		return NULL;
	*piece = (struct sim_piece){.size = size, .step = sim->steps, .magic = LIVE_MAGIC};
	memset(piece->bytes, NEW_BYTE, filled(piece));
	pro__list_append(&sim->live, &piece->link);
	return piece->bytes;
}

/* Whether the piece was left alone since its end. It can be read from now on. */
static void piece_check(struct pro_sim *sim, struct sim_piece *piece)
{
	const unsigned char *bytes = piece->bytes;

	show(piece);
	for (size_t i = 0; i < filled(piece); i++)
		if (bytes[i] != FREED_BYTE) {
			pro__sim_found(sim, PRO_SIM_CHECK_MEMORY,
					"%zu bytes of memory that were freed at step %llu were written to later",
					piece->size, (unsigned long long)piece->step);
			break;
		}
}

static void piece_let_go(struct pro_sim *sim, struct sim_piece *piece)
{
	piece_check(sim, piece);
	sim->freed_bytes -= piece->size;
	pro__list_remove(&piece->link);
	pro__sim_free(piece);
}

static void sim_memory_deallocate(void *context, void *memory)
{
	struct pro_sim *sim = context;
	struct sim_piece *piece;
	bool is_aligned;

	if (!memory)
		return;
	piece = piece_of(memory);
	is_aligned = (uintptr_t)memory % _Alignof(struct sim_piece) == 0;
	if (!is_aligned || piece->magic != LIVE_MAGIC) {
		pro__sim_found(sim, PRO_SIM_CHECK_MEMORY,
				is_aligned && piece->magic == FREED_MAGIC
						? "memory is freed twice"
						: "memory is freed that was not allocated");
		return;
	}
	pro__list_remove(&piece->link);
	piece->magic = FREED_MAGIC;
	piece->step = sim->steps;
	memset(piece->bytes, FREED_BYTE, filled(piece));
	hide(piece);
	pro__list_append(&sim->freed, &piece->link);
	sim->freed_bytes += piece->size;
	while (sim->freed_bytes > KEPT_BYTES)
		piece_let_go(sim, piece_from_link(sim->freed.next));
}

static void *sim_memory_reallocate(void *context, void *memory, size_t size)
{
	void *moved = sim_memory_allocate(context, size);
	size_t kept;

	if (!memory || !moved)
		return moved;
	kept = piece_of(memory)->size < size ? piece_of(memory)->size : size;
	memcpy(moved, memory, kept);
	sim_memory_deallocate(context, memory);
	return moved;
}

void pro__sim_memory_init(struct pro_sim *sim)
{
	pro__list_init(&sim->live);
	pro__list_init(&sim->freed);
	sim->allocator = (struct pro_allocator){
			.allocate = sim_memory_allocate,
			.reallocate = sim_memory_reallocate,
			.deallocate = sim_memory_deallocate,
			.context = sim,
	};
}

void pro__sim_memory_fini(struct pro_sim *sim)
{
	while (!pro__list_is_empty(&sim->freed))
		piece_let_go(sim, piece_from_link(sim->freed.next));
	while (!pro__list_is_empty(&sim->live)) {
		struct sim_piece *piece = piece_from_link(sim->live.next);

		pro__list_remove(&piece->link);
		pro__sim_free(piece);
	}
}

void pro__sim_check_freed(struct pro_sim *sim)
{
	struct pro_list_node *node;

	for (node = sim->freed.next; node != &sim->freed; node = node->next) {
		piece_check(sim, piece_from_link(node));
		hide(piece_from_link(node));
	}
}

const struct pro_allocator *pro_sim_allocator(struct pro_sim *sim)
{
	return &sim->allocator;
}

int pro_sim_check_memory(struct pro_sim *sim)
{
	while (!pro__list_is_empty(&sim->freed))
		piece_let_go(sim, piece_from_link(sim->freed.next));
	if (!pro__list_is_empty(&sim->live)) {
		const struct sim_piece *piece = piece_from_link(sim->live.next);

		pro__sim_found(sim, PRO_SIM_CHECK_LEAK,
				"memory is left: first %zu bytes that were allocated at step %llu", piece->size,
				(unsigned long long)piece->step);
	}
	return pro__sim_has_failed(sim) ? PRO_ECANCELED : 0;
}
