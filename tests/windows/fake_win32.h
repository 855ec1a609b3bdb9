/* A stand-in for the calls of Windows that the completion port makes: it answers as it is told,
 * keeps what is pending until it is told how that ends, and writes down what it was asked. */
#ifndef TESTS_WINDOWS_FAKE_WIN32_H
#define TESTS_WINDOWS_FAKE_WIN32_H

#include "../../proactor/ports/iocp_win32.h"

#include <stdbool.h>
#include <stdint.h>

enum fake_call {
	FAKE_RECV,
	FAKE_SEND,
	FAKE_RECV_FROM,
	FAKE_SEND_TO,
	FAKE_READ_FILE,
	FAKE_WRITE_FILE,
	FAKE_ACCEPT,
	FAKE_CONNECT,
	FAKE_TRANSMIT,
	FAKE_CONNECT_PIPE,
	FAKE_CALLS
};

/* Statuses of the kernel. */
#define FAKE_STATUS_CANCELLED          0xC0000120u /* 995 */
#define FAKE_STATUS_NETNAME_DELETED    0xC00000C9u /* 64 */
#define FAKE_STATUS_LOCAL_DISCONNECT   0xC000013Bu
#define FAKE_STATUS_CONNECTION_ABORTED 0xC0000241u /* 1236 */
#define FAKE_STATUS_HANDLES_CLOSED     0x8000000Au /* 676 */
#define FAKE_STATUS_CONNECTION_RESET   0xC000020Du
#define FAKE_STATUS_PORT_UNREACHABLE   0xC000023Fu
#define FAKE_STATUS_BUFFER_OVERFLOW    0x80000005u
#define FAKE_STATUS_END_OF_FILE        0xC0000011u
#define FAKE_STATUS_PIPE_BROKEN        0xC000014Bu /* 109 */
#define FAKE_STATUS_PIPE_CLOSING       0xC00000B1u /* 232 */

enum fake_kind { FAKE_TCP, FAKE_UDP, FAKE_FILE, FAKE_SYNCHRONOUS_FILE, FAKE_PIPE, FAKE_CONSOLE };

/* One call that was made. */
struct fake_record {
	enum fake_call call;
	HANDLE handle;
	OVERLAPPED *overlapped;
	DWORD asked;   /* bytes */
	DWORD buffers; /* pieces */
	uint64_t offset;
	SOCKET socket; /* to be accepted into */
	DWORD head;    /* of TransmitFile */
	DWORD tail;
	HANDLE file;
	bool is_pending;
};

#define FAKE_RECORDS_MAX 4096
#define FAKE_HANDLES_MAX 256
#define FAKE_SCRIPT_MAX  256
#define FAKE_PACKETS_MAX 4096
#define FAKE_TRACE_MAX   4096

struct fake_handle {
	HANDLE value;
	enum fake_kind kind;
	bool is_open;
	bool is_associated;
	bool skips_success;
	bool has_context; /* SO_UPDATE_…_CONTEXT was set */
	bool needs_context;
	ULONG_PTR key;
};

struct fake_answer {
	DWORD error; /* 0: success */
	DWORD bytes;
	DWORD status; /* of a warning: the packet comes though the call failed */
};

struct fake {
	/* To be set by the test. */
	bool skip_works;        /* SetFileCompletionNotificationModes succeeds */
	bool has_fine_timer;    /* CreateWaitableTimerExW succeeds */
	DWORD take_back_status; /* of the next NtCancelWaitCompletionPacket */
	bool reverses;          /* packets come newest first */
	DWORD cancel_status;    /* what CancelIoEx makes of pending calls; 0: nothing */
	unsigned cancel_misses; /* CancelIoEx finds nothing so often, as under Wine */
	DWORD close_status;     /* what closing makes of them; 0: nothing */
	DWORD wait_error;       /* of a wait without packets */
	bool is_local;          /* accepted sockets are of AF_UNIX */
	bool is_layered;        /* sockets are not the system's own, but a provider's above them */
	DWORD port_error;       /* of making a completion port */
	DWORD associate_error;  /* of the next association with one */
	DWORD socket_error;     /* of the next WSASocketW */
	DWORD bind_error;       /* of the next bind */
	DWORD size_error;       /* of the next GetFileSizeEx */
	DWORD pipe_error;       /* of the next CreateNamedPipeW */
	DWORD open_error;       /* of the next CreateFileW */
	DWORD update_error;     /* of the next SO_UPDATE_…_CONTEXT */
	DWORD build;            /* of the system */
	uint64_t awake_ns;      /* what the clock without sleep says; 0: it runs */
	unsigned post_failures; /* of the next PostQueuedCompletionStatus */
	uint64_t file_size;

	/* What happened. */
	HANDLE port; /* made last */
	DWORD concurrency;
	struct sockaddr_storage destination; /* of the last connect or datagram */
	unsigned leaves;                     /* waits on another port */
	struct fake_record records[FAKE_RECORDS_MAX];
	unsigned record_count;
	unsigned count[FAKE_CALLS];
	unsigned associations;      /* that succeeded */
	unsigned fine_timers;       /* set, each with a packet to come */
	ULONG_PTR timer_key;        /* of the packet that the fine timer will send; 0: none */
	DWORD pipe_mode;            /* that the last pipe was made with */
	DWORD last_timeout_ms;      /* of a wait, not of a look */
	char trace[FAKE_TRACE_MAX]; /* "cancel close …", the calls whose order matters */

	/* Of the console, on threads of their own: what is typed, a line a read, and what is shown. An
	 * empty line is an interrupt, after the last one nothing is typed any more. */
	const WCHAR *typed[4];
	unsigned lines_read;
	WCHAR shown[64];
	unsigned shown_count;

	struct fake_answer script[FAKE_CALLS][FAKE_SCRIPT_MAX];
	unsigned script_count[FAKE_CALLS];
	unsigned script_next[FAKE_CALLS];
	struct fake_handle handles[FAKE_HANDLES_MAX];
	unsigned handle_count;
	uintptr_t last_value;
	OVERLAPPED_ENTRY packets[FAKE_PACKETS_MAX];
	unsigned packet_count;
};

extern struct fake fake;

/* Forgets everything, and lets the next port use it. */
void fake_install(void);
void fake_uninstall(void);

/* A handle that is there; 0: a value of the fake's choice. */
HANDLE fake_open(enum fake_kind kind, uintptr_t value);
struct fake_handle *fake_find(HANDLE value);
/* The next call of that kind is answered so; without an answer calls are pending. */
void fake_answer(enum fake_call call, DWORD error, DWORD bytes);
void fake_answer_warning(enum fake_call call, DWORD error, DWORD status, DWORD bytes);
/* The last call of that kind, or the n-th from the end (0: the last). */
struct fake_record *fake_last(enum fake_call call, unsigned back);
/* The bytes of the last destination, from one on. */
const unsigned char *fake_destination(size_t offset);
/* The fine timer expires: its packet comes. */
void fake_expire(void);
/* Ends a pending call: its packet comes. */
void fake_finish(struct fake_record *record, DWORD status, DWORD bytes);

#endif
