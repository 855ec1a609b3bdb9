/* The events of a simulated world: a heap by time, then by the order in which they were scheduled.
 */
#include "sim.h"

#include <assert.h>

static bool comes_before(const struct sim_event *left, const struct sim_event *right)
{
	if (left->time_ns != right->time_ns)
		return left->time_ns < right->time_ns;
	return left->order < right->order;
}

void pro__sim_schedule(
		struct pro_sim *sim, uint64_t time_ns, enum sim_event_kind kind, struct sim_slot *slot)
{
	struct sim_events *events = &sim->events;
	const struct sim_event event = {
			.time_ns = time_ns,
			.order = events->order++,
			.slot = slot,
			.generation = slot->generation,
			.kind = kind,
	};
	uint32_t at = events->count++;

	if (events->count > events->size) {
		events->size = events->size ? 2 * events->size : 256;
		events->heap = pro__sim_reallocate(events->heap, events->size * sizeof(*events->heap));
	}
	while (at > 0 && comes_before(&event, &events->heap[(at - 1) / 2])) {
		events->heap[at] = events->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	events->heap[at] = event;
}

uint64_t pro__sim_next_ns(const struct pro_sim *sim)
{
	assert(sim->events.count > 0);
	return sim->events.heap[0].time_ns;
}

struct sim_event pro__sim_take_event(struct pro_sim *sim)
{
	struct sim_events *events = &sim->events;
	const struct sim_event first = events->heap[0];
	const struct sim_event last = events->heap[--events->count];
	uint32_t at = 0;

	for (uint32_t child = 1; child < events->count; child = 2 * at + 1) {
		if (child + 1 < events->count &&
				comes_before(&events->heap[child + 1], &events->heap[child]))
			child++;
		if (!comes_before(&events->heap[child], &last))
			break;
		events->heap[at] = events->heap[child];
		at = child;
	}
	events->heap[at] = last;
	return first;
}
