#include "mime.h"

#include <string.h>

#include "text.h"

#define TEXT(type) "text/" type "; charset=utf-8"

static const struct {
	const char *extension;
	const char *type;
} types[] = {
		{"avif", "image/avif"},
		{"bmp", "image/bmp"},
		{"bz2", "application/x-bzip2"},
		{"c", TEXT("plain")},
		{"conf", TEXT("plain")},
		{"css", TEXT("css")},
		{"csv", TEXT("csv")},
		{"flac", "audio/flac"},
		{"gif", "image/gif"},
		{"gz", "application/gzip"},
		{"h", TEXT("plain")},
		{"htm", TEXT("html")},
		{"html", TEXT("html")},
		{"ico", "image/vnd.microsoft.icon"},
		{"jpeg", "image/jpeg"},
		{"jpg", "image/jpeg"},
		{"js", TEXT("javascript")},
		{"json", "application/json"},
		{"log", TEXT("plain")},
		{"md", TEXT("markdown")},
		{"mjs", TEXT("javascript")},
		{"mp3", "audio/mpeg"},
		{"mp4", "video/mp4"},
		{"ogg", "audio/ogg"},
		{"pdf", "application/pdf"},
		{"png", "image/png"},
		{"sh", TEXT("plain")},
		{"svg", "image/svg+xml"},
		{"tar", "application/x-tar"},
		{"tgz", "application/gzip"},
		{"txt", TEXT("plain")},
		{"wasm", "application/wasm"},
		{"wav", "audio/wav"},
		{"webm", "video/webm"},
		{"webp", "image/webp"},
		{"woff", "font/woff"},
		{"woff2", "font/woff2"},
		{"xhtml", "application/xhtml+xml"},
		{"xml", "application/xml"},
		{"xz", "application/x-xz"},
		{"zip", "application/zip"},
		{"zst", "application/zstd"},
};

const char *mime_type(const char *name)
{
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++) {
		if (text_equal(dot + 1, strlen(dot + 1), types[i].extension))
			return types[i].type;
	}
	return "application/octet-stream";
}
