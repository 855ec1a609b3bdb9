/* Runs a function that may block on a thread of the proactor's pool, off the loop. ACE has
 * ACE_Message_Queue and hand-made threads for that. */
#ifndef PROACTOR_ASYNCH_WORK_H
#define PROACTOR_ASYNCH_WORK_H

#include <proactor/handler.h>

PRO_BEGIN_DECLS

struct pro_asynch_work {
	struct pro_operation operation; /* first */

	/* Private. */
	int (*function)(void *argument);
	void *argument;
	int returned;
};

/* error 0: the function ran and gave `returned`. PRO_ECANCELED, PRO_ETIMEDOUT: it never ran. A
 * function that has begun can not be stopped: its work completes with 0 when it returns.
 * PRO_ENOMEM: there is no thread to be had. */
struct pro_asynch_work_result {
	PRO_RESULT_MEMBERS;
	int returned;
	void *argument;
};

/* Binds to its handler. Needs handle_work. PRO_EINVAL. [set-up or callback] Since 0.1. */
PRO_API int pro_asynch_work_open(
		struct pro_asynch_work *work, struct pro_handler *handler, const void *completion_key);

/* Calls function(argument) once, on one of options.worker_threads threads, in the order of the
 * starts; files that only block and host names share them. In a simulated world it is called on the
 * loop. PRO_EFULL when options.works_max of them are on their way, PRO_EBUSY, PRO_ECLOSED,
 * PRO_EFORKED, PRO_EINVAL without a function. `argument` is borrowed until the callback. [any
 * thread] Since 0.1.
 */
PRO_API int pro_asynch_work_run(
		struct pro_asynch_work *work, int (*function)(void *argument), void *argument);

PRO_END_DECLS

#endif
