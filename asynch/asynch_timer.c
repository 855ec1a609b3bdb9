/* Timers: operations that the engine itself completes. */
#include <proactor/asynch_timer.h>

#include "asynch_private.h"

/* A repeating timer may expire again, or be cancelled, while its callback is on its way. */
static void timer_prepare(struct pro_operation *operation)
{
	operation->request.timer.is_final =
			atomic_load_explicit(&operation->state, memory_order_relaxed) == PRO__READY;
	operation->request.timer.reported = operation->request.timer.expirations;
	operation->request.timer.expirations = 0;
}

static void timer_deliver(struct pro_operation *operation)
{
	struct pro_handler *handler = asynch_handler(operation);
	bool is_final = operation->request.timer.is_final;
	struct pro_asynch_timer_result result = {
			.act = operation->act,
			.completion_key = operation->completion_key,
			.operation = operation,
			.error = is_final ? operation->error : 0,
			.is_final = is_final,
	};

	/* It was cancelled after this was taken out of the queue. */
	if (!is_final && atomic_load_explicit(&operation->state, memory_order_relaxed) == PRO__READY)
		return;
	if (!result.error)
		result.expirations = operation->request.timer.reported;
	if (is_final)
		pro__operation_begin_callback(operation);
	handler->vtbl->handle_time_out(handler, &result);
}

static const struct pro_operation_vtbl timer_vtbl = {
		.name = "timer",
		.submit = pro__timer_submit,
		.cancel = pro__timer_cancel,
		.prepare = timer_prepare,
		.deliver = timer_deliver,
};

int pro_asynch_timer_open(
		struct pro_asynch_timer *timer, struct pro_handler *handler, const void *completion_key)
{
	return pro__asynch_open_without_handle(&timer->operation, &timer_vtbl, PRO_OP_TIMER, handler,
			handler && handler->vtbl->handle_time_out, completion_key);
}

static int timer_start(
		struct pro_asynch_timer *timer, int64_t delay_ms, int64_t interval_ms, const void *caller)
{
	struct pro_operation *operation = &timer->operation;
	int error = pro__operation_claim(operation, caller);

	if (error)
		return error;
	operation->request.timer.delay_ms = (uint64_t)delay_ms;
	operation->request.timer.interval_ms = (uint64_t)interval_ms;
	operation->request.timer.expirations = 0;
	return pro__operation_start(operation);
}

int pro_asynch_timer_schedule(struct pro_asynch_timer *timer, int64_t delay_ms)
{
	if (delay_ms < 0)
		return PRO_EINVAL;
	return timer_start(timer, delay_ms, 0, PRO__CALLER());
}

int pro_asynch_timer_schedule_repeating(
		struct pro_asynch_timer *timer, int64_t delay_ms, int64_t interval_ms)
{
	if (delay_ms < 0 || interval_ms < 1)
		return PRO_EINVAL;
	return timer_start(timer, delay_ms, interval_ms, PRO__CALLER());
}

int pro_asynch_timer_cancel_all(struct pro_handler *handler)
{
	struct pro_proactor *proactor;
	struct pro_list_node *flights;
	struct pro_list_node *node;
	struct pro_list_node *next;
	int count = 0;

	if (!handler)
		return PRO_EINVAL;
	proactor = handler->owner.proactor;
	/* The lock of a forked child may be held for ever. */
	if (pro__is_forked(proactor))
		return PRO_EFORKED;
	pro__loop_enter(proactor);
	flights = &handler->owner.flights;
	for (node = flights->next; node != flights; node = next) {
		struct pro_operation *operation = pro_container_of(node, struct pro_operation, flight_link);

		next = node->next;
		if (operation->opcode == PRO_OP_TIMER && pro_operation_cancel(operation) == 0)
			count++;
	}
	pro__loop_leave(proactor);
	return count;
}
