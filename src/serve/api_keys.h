/* API keys: a file with a line for each, "name key"; lines that begin with # and empty ones are skipped. Keys are compared in a time that does not depend on
 * how much of them is right. */
#ifndef SERVE_API_KEYS_H
#define SERVE_API_KEYS_H

#include "base/error.h"
#include "serve/http_request.h"

struct api_keys;

/* SAMPAN_EIO, SAMPAN_EFORMAT (the line is named), SAMPAN_ELIMIT: more than 10,000. */
int api_keys_read(const char *path, struct api_keys **keys, struct error *err);
void api_keys_free(struct api_keys *keys); /* NULL is legal */

/* The key that the request carries ("Authorization: Bearer KEY", or "x-api-key: KEY"): its index, or -1. */
int api_keys_find(const struct api_keys *keys, const struct http_request *request);
const char *api_keys_name(const struct api_keys *keys, int index);
/* Requests under way of a key, for limits: adds `change` and returns the new number. */
int api_keys_count(struct api_keys *keys, int index, int change);

#endif
