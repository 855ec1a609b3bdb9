/* A user's program in C: waits for one timer, then checks that header and library are of one
 * version. */
#include <proactor/asynch_timer.h>
#include <proactor/proactor.h>

#include <stdio.h>
#include <string.h>

struct alarm_clock {
	struct pro_handler handler;
	struct pro_asynch_timer timer;
	unsigned rung;
};

static struct alarm_clock *alarm_clock_from_handler(struct pro_handler *handler)
{
	return pro_container_of(handler, struct alarm_clock, handler);
}

static void alarm_clock_handle_time_out(
		struct pro_handler *handler, const struct pro_asynch_timer_result *result)
{
	if (result->error == 0)
		alarm_clock_from_handler(handler)->rung++;
	pro_proactor_shutdown(pro_operation_proactor(result->operation));
}

static void alarm_clock_handle_close(struct pro_handler *handler)
{
	(void)handler;
}

static const struct pro_handler_vtbl alarm_clock_vtbl = {
		.handle_time_out = alarm_clock_handle_time_out,
		.handle_close = alarm_clock_handle_close,
};

static int alarm_clock_start(struct alarm_clock *alarm, struct pro_proactor *proactor)
{
	int error = pro_handler_init(&alarm->handler, &alarm_clock_vtbl, proactor);

	if (error == 0)
		error = pro_asynch_timer_open(&alarm->timer, &alarm->handler, NULL);
	if (error == 0)
		error = pro_asynch_timer_schedule(&alarm->timer, 1);
	return error;
}

int main(void)
{
	struct alarm_clock alarm = {0};
	struct pro_proactor *proactor;
	char why[256];
	int error;

	if (strcmp(pro_version(), PRO_VERSION_STRING) != 0) {
		fprintf(stderr, "library %s, header %s\n", pro_version(), PRO_VERSION_STRING);
		return 1;
	}
	error = pro_proactor_create(&proactor, NULL, why, sizeof(why));
	if (error) {
		fprintf(stderr, "no proactor: %s\n", why);
		return 1;
	}
	error = alarm_clock_start(&alarm, proactor);
	if (error == 0)
		error = pro_proactor_run_event_loop(proactor);
	if (error)
		fprintf(stderr, "%s\n", pro_error_text(error));
	if (pro_proactor_destroy(proactor) != 0 || error || alarm.rung != 1)
		return 1;
	puts(pro_version());
	return 0;
}
