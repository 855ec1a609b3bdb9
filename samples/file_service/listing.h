/* A page of HTML that lists a directory. */
#ifndef FILE_SERVICE_LISTING_H
#define FILE_SERVICE_LISTING_H

#include <proactor/file.h>
#include <proactor/message_block.h>

/* Entries that a page shows at most; it says so when there are more. */
#define LISTING_ENTRIES_MAX 1000

/* Makes the page of the directory `name` below `root`: files and directories, sorted by their
 * bytes, every name escaped. The caller releases `*page`. PRO_ENOMEM, or as pro_file_root_list. */
int listing_create(struct pro_file_root *root, const char *name,
		const struct pro_allocator *allocator, struct pro_message_block **page);

#endif
