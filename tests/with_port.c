/* Runs a program with one completion port, and says whether this machine can have it:
 *
 *   with_port PORT program [argument ...]          PROACTOR_PORT names the port
 *   with_port chosen=PORT program [argument ...]   no setting; the library must choose this one
 *
 * Exits with 77, which is a skip, when the kernel itself refuses io_uring. The library is not asked
 * then: that it cannot have a port which the kernel allows is a failure of the program. */
#include <proactor/proactor.h>

#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_SKIPPED  77
#define CHOSEN_PREFIX "chosen="
#define RING_PREFIX   "io_uring"

/* Returns 0 or an errno. Filters may let the set-up pass and forbid what a ring is for. */
static int kernel_refuses_io_uring(const char **call)
{
	struct io_uring_params params = {0};
	struct io_uring_probe probe = {0};
	int refused = 0;
	int ring;

	*call = "io_uring_setup";
	ring = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (ring < 0)
		return errno;
	*call = "io_uring_enter";
	if (syscall(SYS_io_uring_enter, ring, 0, 0, 0, NULL, 0) < 0)
		refused = errno;
	else if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_PROBE, &probe, 0) < 0) {
		*call = "io_uring_register";
		refused = errno;
	}
	close(ring);
	return refused;
}

static int check_chosen_port(const char *expected)
{
	struct pro_proactor_report report = {.size = sizeof(report)};
	struct pro_proactor *proactor;
	char why[256];
	int error;

	error = pro_proactor_create(&proactor, NULL, why, sizeof(why));
	if (error) {
		fprintf(stderr, "with_port: no proactor: %s: %s\n", pro_error_name(error), why);
		return -1;
	}
	error = pro_proactor_report(proactor, &report);
	pro_proactor_destroy(proactor);
	if (error || strcmp(report.port, expected) != 0) {
		fprintf(stderr, "with_port: the library chose \"%s\" (%s), not \"%s\"\n", report.port,
				report.reason, expected);
		return -1;
	}
	printf("with_port: %s (%s)\n", report.port, report.reason);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	const char *call;
	const char *port;
	int refused;

	if (argc < 3) {
		fprintf(stderr, "usage: with_port PORT|" CHOSEN_PREFIX "PORT program [argument ...]\n");
		return 2;
	}
	port = argv[1];
	if (strncmp(port, CHOSEN_PREFIX, strlen(CHOSEN_PREFIX)) == 0) {
		unsetenv("PROACTOR_PORT");
		if (check_chosen_port(port + strlen(CHOSEN_PREFIX)) < 0)
			return 1;
	} else {
		refused = strncmp(port, RING_PREFIX, strlen(RING_PREFIX)) == 0
						  ? kernel_refuses_io_uring(&call)
						  : 0;
		if (refused) {
			printf("skip: %s: %s: %s\n", port, call, strerror(refused));
			return EXIT_SKIPPED;
		}
		if (setenv("PROACTOR_PORT", port, 1) < 0) {
			perror("with_port: setenv");
			return 2;
		}
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 2;
}
