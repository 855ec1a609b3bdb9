/* Starts and callbacks of the checker's handlers against the contract. */
#include "actor.h"

#include <string.h>

/* Virtual time after which what was promised "soon" is lost: processes pause for 3 s, packets and
 * completions are late by 1 s. */
#define SOON_NS UINT64_C(100000000000)

/* ---- calls ---- */

void laws_begin_call(struct laws *laws)
{
	laws->calls++;
}

int laws_end_call(struct laws *laws, int error)
{
	laws->calls--;
	return error;
}

unsigned laws_choose(struct laws *laws, unsigned bound)
{
	return (unsigned)pro_sim_choose(laws->sim, bound);
}

bool laws_chance(struct laws *laws, unsigned bound)
{
	return laws_choose(laws, bound) == 0;
}

/* ---- actors ---- */

void actor_init(struct actor *actor, struct laws *laws, struct pro_handler *handler,
		const char *name, void (*act)(struct actor *actor, bool on_loop))
{
	actor->laws = laws;
	actor->handler = handler;
	actor->name = name;
	actor->act = act;
	actor->next = laws->actors;
	if (actor->next)
		actor->next->prev = actor;
	laws->actors = actor;
	laws->actors_count++;
}

bool actor_is_closing(const struct actor *actor)
{
	return actor->closing_ns != 0;
}

void actor_enter(struct actor *actor)
{
	struct laws *laws = actor->laws;

	if (laws->calls > 0)
		pro_sim_fail(laws->sim, "%s: a callback inside a call", actor->name);
	if (laws->is_in_callback)
		pro_sim_fail(laws->sim, "%s: a callback inside a callback", actor->name);
	laws->is_in_callback = true;
}

void actor_leave(struct actor *actor)
{
	actor->laws->is_in_callback = false;
}

void actor_close(struct actor *actor)
{
	if (!actor_is_closing(actor))
		actor->closing_ns = pro_sim_now_ns(actor->laws->sim);
	laws_begin_call(actor->laws);
	pro_handler_close(actor->handler);
	laws_end_call(actor->laws, 0);
	if (!pro_handler_is_closing(actor->handler))
		pro_sim_fail(actor->laws->sim, "%s: a close that was not heard", actor->name);
}

void actor_closed(struct actor *actor)
{
	struct laws *laws = actor->laws;

	if (!actor_is_closing(actor) && !laws->is_over)
		pro_sim_fail(laws->sim, "%s: closed, and nobody asked", actor->name);
	for (const struct track *track = actor->tracks; track; track = track->next)
		if (track->in_flight)
			pro_sim_fail(laws->sim, "%s: closed before its %s completed", actor->name, track->name);
	if (actor->posts_seen != actor->posts_sent)
		pro_sim_fail(laws->sim, "%s: %u posts of %u came before its close", actor->name,
				actor->posts_seen, actor->posts_sent);
	if (actor->next)
		actor->next->prev = actor->prev;
	if (actor->prev)
		actor->prev->next = actor->next;
	else
		laws->actors = actor->next;
	laws->actors_count--;
}

void actor_post(struct actor *actor, unsigned count)
{
	for (unsigned i = 0; count > 0 && i < POSTS; i++) {
		struct post *post = &actor->posts[i];

		if (post->is_busy)
			continue;
		post->number = actor->posts_sent;
		pro_message_block_init_filled(&post->block, &post->number, sizeof(post->number));
		if (CALL(actor, pro_handler_post(actor->handler, &post->block, post)) == 0) {
			post->is_busy = true;
			actor->posts_sent++;
		}
		count--;
	}
}

void actor_handle_post(struct actor *actor, const struct pro_post_result *result)
{
	struct post *post = pro_container_of(result->block, struct post, block);

	if (!post->is_busy || result->act != post || post->number != actor->posts_seen)
		pro_sim_fail(actor->laws->sim, "%s: post %u came as number %u", actor->name, post->number,
				actor->posts_seen);
	if (result->error && !actor_is_closing(actor) && !actor->laws->is_over)
		pro_sim_fail(actor->laws->sim, "%s: a post fails with %s", actor->name,
				pro_error_name(result->error));
	actor->posts_seen++;
	post->is_busy = false;
}

void actor_wakeup(struct actor *actor)
{
	if (CALL(actor, pro_handler_wakeup(actor->handler)) == 0 && actor->wakeup_ns == 0)
		actor->wakeup_ns = pro_sim_now_ns(actor->laws->sim);
}

void actor_handle_wakeup(struct actor *actor)
{
	if (actor_is_closing(actor))
		pro_sim_fail(actor->laws->sim, "%s: woken after its close", actor->name);
	actor->wakeup_ns = 0;
}

/* ---- flights ---- */

void track_init(
		struct track *track, struct actor *actor, struct pro_operation *operation, const char *name)
{
	memset(track, 0, sizeof(*track));
	track->actor = actor;
	track->name = name;
	track->operation = operation;
	track->timeout_ms = PRO_NO_TIMEOUT;
	track->next = actor->tracks;
	actor->tracks = track;
}

static void track_fail(const struct track *track, const char *what)
{
	pro_sim_fail(track->actor->laws->sim, "%s: %s: %s", track->actor->name, track->name, what);
}

bool track_started(struct track *track, int error)
{
	const struct actor *actor = track->actor;

	if (error == PRO_EBUSY && !track->in_flight)
		track_fail(track, "busy, though nothing is in flight");
	else if (error == PRO_ECLOSED && !actor_is_closing(actor) && !actor->laws->is_over)
		track_fail(track, "refused as closed, though it is open");
	else if (error == 0 && track->in_flight)
		track_fail(track, "started a second time in flight");
	else if (error == 0 && actor_is_closing(actor))
		track_fail(track, "started after the close");
	else if (error && error != PRO_EBUSY && error != PRO_ECLOSED)
		track_fail(track, pro_error_name(error));
	if (error)
		return false;
	track->started_ns = pro_sim_now_ns(actor->laws->sim);
	track->flight_timeout_ms = track->timeout_ms;
	track->cancel_ns = 0;
	track->is_cancel_sure = false;
	track->in_flight = true;
	return true;
}

uint64_t track_elapsed_ns(const struct track *track)
{
	return pro_sim_now_ns(track->actor->laws->sim) - track->started_ns;
}

static void track_check_time_out(const struct track *track)
{
	if (track->flight_timeout_ms < 0)
		track_fail(track, "timed out without a deadline");
	else if (track_elapsed_ns(track) < (uint64_t)track->flight_timeout_ms * 1000000)
		track_fail(track, "timed out early");
}

void track_ended(struct track *track, int error)
{
	const struct actor *actor = track->actor;

	if (!track->in_flight)
		track_fail(track, "completed without a flight");
	if (error == PRO_ECANCELED && track->cancel_ns == 0 && !actor_is_closing(actor) &&
			!actor->laws->is_over)
		track_fail(track, "cancelled, and nobody asked");
	if (error == PRO_ETIMEDOUT && !track->may_time_out)
		track_check_time_out(track);
	if (error != PRO_ECANCELED && track->is_cancel_sure)
		track_fail(track, "came after it was cancelled");
	track->in_flight = false;
	track->cancel_ns = 0;
	track->is_cancel_sure = false;
}

void track_cancelled(struct track *track, bool is_sure)
{
	if (track->cancel_ns == 0)
		track->cancel_ns = pro_sim_now_ns(track->actor->laws->sim);
	track->is_cancel_sure = track->is_cancel_sure || is_sure;
}

void track_cancel(struct track *track, bool on_loop)
{
	int error = CALL(track->actor, pro_operation_cancel(track->operation));

	if (error == PRO_ENOTFOUND || !pro_operation_proactor(track->operation))
		return;
	if (error)
		track_fail(track, pro_error_name(error));
	if (!track->in_flight) {
		if (on_loop)
			track_fail(track, "a cancel found a flight that is over");
		return;
	}
	track_cancelled(track, on_loop && track->operation->opcode == PRO_OP_TIMER);
}

void track_set_timeout(struct track *track, int64_t timeout_ms)
{
	track->timeout_ms = timeout_ms;
	pro_operation_set_timeout(track->operation, timeout_ms);
}

/* ---- what is overdue ---- */

static bool is_overdue(const struct laws *laws, uint64_t since_ns, uint64_t more_ns)
{
	return since_ns != 0 && pro_sim_now_ns(laws->sim) > since_ns + more_ns + SOON_NS;
}

static void track_check(const struct track *track)
{
	const struct actor *actor = track->actor;

	if (!track->in_flight)
		return;
	if (is_overdue(actor->laws, track->cancel_ns, 0))
		track_fail(track, "a cancel is lost");
	if (is_overdue(actor->laws, actor->closing_ns, 0))
		track_fail(track, "it outlives the close");
	if (track->flight_timeout_ms >= 0 && is_overdue(actor->laws, track->started_ns,
												 (uint64_t)track->flight_timeout_ms * 1000000))
		track_fail(track, "a deadline is lost");
}

void laws_check(struct laws *laws)
{
	for (const struct actor *actor = laws->actors; actor; actor = actor->next) {
		for (const struct track *track = actor->tracks; track; track = track->next)
			track_check(track);
		if (is_overdue(laws, actor->closing_ns, 0))
			pro_sim_fail(laws->sim, "%s: its handle_close never comes", actor->name);
		if (!actor_is_closing(actor) && is_overdue(laws, actor->wakeup_ns, 0))
			pro_sim_fail(laws->sim, "%s: a wake-up is lost", actor->name);
	}
}

bool laws_owe_nothing(const struct laws *laws)
{
	for (const struct actor *actor = laws->actors; actor; actor = actor->next) {
		if (actor->wakeup_ns != 0 && !actor_is_closing(actor))
			return false;
		for (const struct track *track = actor->tracks; track; track = track->next)
			if (track->in_flight && track->cancel_ns != 0)
				return false;
	}
	return true;
}
