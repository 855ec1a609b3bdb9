/* The media type of a file, by the end of its name. */
#ifndef FILE_SERVICE_MIME_H
#define FILE_SERVICE_MIME_H

/* "text/html; charset=utf-8" for "a/index.html"; "application/octet-stream" for what is not known.
 */
const char *mime_type(const char *name);

#endif
