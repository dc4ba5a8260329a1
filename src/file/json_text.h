/* JSON as published with models, by jansson: hostile input, so duplicate names, broken UTF-8 and NUL characters are refused, and a failure says where.
 *
 * Python's json module writes what JSON does not have: NaN, Infinity, -Infinity, and integers of any length. JSON_TEXT_PYTHON reads them too: the
 * three words become strings that json_text_real() knows, an integer of 19 digits or more becomes a real. */
#ifndef FILE_JSON_TEXT_H
#define FILE_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum json_text_dialect { JSON_TEXT_STRICT, JSON_TEXT_PYTHON };

/* One object; *json is released with json_decref. SAMPAN_EFORMAT says line and column, not the file; SAMPAN_ENOMEM. */
int json_text_parse(const char *text, size_t length, enum json_text_dialect dialect, json_t **json, struct error *err);

/* The same from a file of at most `limit` bytes; every message names the path. Also SAMPAN_ENOTFOUND, SAMPAN_EIO, SAMPAN_ELIMIT. */
int json_text_parse_file(const char *path, size_t limit, enum json_text_dialect dialect, json_t **json, struct error *err);

/* True where `json` is a real, or stands for NaN or an infinity: those words above, or the object {"__float__": "Infinity"} of newer transformers. */
bool json_text_real(const json_t *json, double *number);

#endif
