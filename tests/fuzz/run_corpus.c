/* Runs a fuzz target over files and folders of them, without a fuzzer: TARGET PATH ... */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX ((size_t)1 << 20)

static unsigned runs;

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	char *bytes = malloc(INPUT_MAX);
	void *copy;
	size_t size;

	if (!file || !bytes) {
		fprintf(stderr, "%s can not be read\n", path);
		exit(EXIT_FAILURE);
	}
	size = fread(bytes, 1, INPUT_MAX, file);
	fclose(file);
	copy = exact_copy(bytes, size);
	free(bytes);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	runs++;
}

static void run_path(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	char inner[4096];

	if (!folder) {
		run_file(path);
		return;
	}
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		run_file(inner);
	}
	closedir(folder);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run_path(argv[i]);
	printf("%u inputs\n", runs);
	return runs ? EXIT_SUCCESS : EXIT_FAILURE;
}
