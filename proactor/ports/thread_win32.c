/* Threads by Windows. */
#include "thread.h"

#include <windows.h>

#include <proactor/error.h>

_Static_assert(sizeof(SRWLOCK) == sizeof(pro__native_mutex), "a lock is a pointer");
_Static_assert(sizeof(CONDITION_VARIABLE) == sizeof(pro__native_condition), "so is a condition");

static SRWLOCK *lock_of(struct pro__mutex *mutex)
{
	return (SRWLOCK *)(void *)&mutex->native;
}

static CONDITION_VARIABLE *variable_of(struct pro__condition *condition)
{
	return (CONDITION_VARIABLE *)(void *)&condition->native;
}

int pro__mutex_init(struct pro__mutex *mutex)
{
	InitializeSRWLock(lock_of(mutex));
	return 0;
}

void pro__mutex_fini(struct pro__mutex *mutex)
{
	(void)mutex;
}

void pro__mutex_lock(struct pro__mutex *mutex)
{
	AcquireSRWLockExclusive(lock_of(mutex));
}

void pro__mutex_unlock(struct pro__mutex *mutex)
{
	ReleaseSRWLockExclusive(lock_of(mutex));
}

int pro__condition_init(struct pro__condition *condition)
{
	InitializeConditionVariable(variable_of(condition));
	return 0;
}

void pro__condition_fini(struct pro__condition *condition)
{
	(void)condition;
}

void pro__condition_wait(struct pro__condition *condition, struct pro__mutex *mutex)
{
	SleepConditionVariableSRW(variable_of(condition), lock_of(mutex), INFINITE, 0);
}

void pro__condition_signal(struct pro__condition *condition)
{
	WakeConditionVariable(variable_of(condition));
}

void pro__condition_broadcast(struct pro__condition *condition)
{
	WakeAllConditionVariable(variable_of(condition));
}

static DWORD WINAPI thread_main(void *context)
{
	const struct pro__thread *thread = context;

	thread->run(thread->argument);
	return 0;
}

/* Threads have no signals here; a name would need a system newer than the rest of the library. */
int pro__thread_create(
		struct pro__thread *thread, const char *name, void (*run)(void *argument), void *argument)
{
	*thread = (struct pro__thread){.name = name, .run = run, .argument = argument};
	thread->native = CreateThread(NULL, 0, thread_main, thread, 0, NULL);
	return thread->native ? 0 : PRO_ENOMEM;
}

void pro__thread_join(struct pro__thread *thread)
{
	WaitForSingleObject(thread->native, INFINITE);
	CloseHandle(thread->native);
}

/* The processors of this process where all are in one group: 64 at most. 0: there are several
 * groups, all of which it may use. */
static DWORD_PTR processor_mask(void)
{
	DWORD_PTR own = 0;
	DWORD_PTR all = 0;

	if (GetActiveProcessorGroupCount() > 1)
		return 0;
	GetProcessAffinityMask(GetCurrentProcess(), &own, &all);
	return own;
}

unsigned pro__processor_count(void)
{
	DWORD_PTR mask = processor_mask();
	unsigned count = 0;

	if (!mask)
		count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
	for (; mask; mask &= mask - 1)
		count++;
	return count > 0 ? count : 1;
}

/* The processor `number` of all groups. */
static void pin_to_group(unsigned number)
{
	GROUP_AFFINITY affinity = {.Group = 0};

	for (; affinity.Group < GetActiveProcessorGroupCount(); affinity.Group++) {
		unsigned count = GetActiveProcessorCount(affinity.Group);

		if (number < count) {
			affinity.Mask = (KAFFINITY)1 << number;
			SetThreadGroupAffinity(GetCurrentThread(), &affinity, NULL);
			return;
		}
		number -= count;
	}
}

void pro__thread_pin(unsigned number)
{
	DWORD_PTR mask = processor_mask();

	number %= pro__processor_count();
	if (!mask) {
		pin_to_group(number);
		return;
	}
	for (; number > 0; number--)
		mask &= mask - 1;
	SetThreadAffinityMask(GetCurrentThread(), mask & (~mask + 1));
}
