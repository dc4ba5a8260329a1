#include "serve/api_keys.h"

#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/memory.h"

#define MAX_KEYS 10000
#define MAX_FILE (8u << 20)
#define MIN_KEY 8 /* characters: what is shorter is guessed */

struct api_key {
    const char *name, *key; /* in `text` */
    size_t length;
    int under_way;
};

struct api_keys {
    char *text; /* owned: the file */
    struct api_key *keys;
    int n;
};

void api_keys_free(struct api_keys *keys)
{
    if (!keys)
        return;
    if (keys->text)
        explicit_bzero(keys->text, strlen(keys->text));
    mem_free(keys->text);
    mem_free(keys->keys);
    mem_free(keys);
}

static int read_line(struct api_keys *keys, char *line, int number, const char *path, struct error *err)
{
    line += strspn(line, " \t\r");
    if (!*line || *line == '#')
        return 0;
    char *name = line, *key = line + strcspn(line, " \t");
    if (*key)
        *key++ = '\0';
    key += strspn(key, " \t");
    size_t length = strcspn(key, " \t\r");
    if (length < MIN_KEY || key[length + strspn(key + length, " \t\r")])
        return error_set(err, SAMPAN_EFORMAT, "reading the keys in '%s': line %d is not 'name key' with a key of at least %d characters without spaces", path,
                         number, MIN_KEY);
    key[length] = '\0';
    if (keys->n == MAX_KEYS)
        return error_set(err, SAMPAN_ELIMIT, "reading the keys in '%s': there are more than %d", path, MAX_KEYS);
    struct api_key *larger = mem_realloc_array(keys->keys, (size_t)keys->n + 1, sizeof *larger);
    if (!larger)
        return error_no_memory(err, "reading the keys");
    keys->keys = larger;
    keys->keys[keys->n++] = (struct api_key){.name = name, .key = key, .length = length};
    return 0;
}

int api_keys_read(const char *path, struct api_keys **result, struct error *err)
{
    size_t length = 0;
    *result = NULL;
    struct api_keys *keys = mem_zalloc(sizeof *keys);
    if (!keys)
        return error_no_memory(err, "reading the keys");
    int status = file_read_whole(path, MAX_FILE, &keys->text, &length, err);
    if (!status && memchr(keys->text, '\0', length))
        status = error_set(err, SAMPAN_EFORMAT, "reading the keys in '%s': it has NUL characters, expected text", path);
    int number = 0;
    for (char *line = keys->text, *next; !status && line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        status = read_line(keys, line, ++number, path, err);
    }
    if (!status && !keys->n)
        status = error_set(err, SAMPAN_EFORMAT, "reading the keys in '%s': there is none; write lines 'name key'", path);
    if (status) {
        api_keys_free(keys);
        return status;
    }
    *result = keys;
    return 0;
}

/* Looks at every byte of both, whatever differs. */
static bool equal_in_constant_time(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned difference = a_length != b_length;
    for (size_t i = 0; i < a_length; i++)
        difference |= (unsigned char)a[i] ^ (unsigned char)(b_length ? b[i % b_length] : 0);
    return difference == 0;
}

int api_keys_find(const struct api_keys *keys, const struct http_request *request)
{
    const char *authorization = http_request_header(request, "authorization"), *given = http_request_header(request, "x-api-key");
    int found = -1;
    if (authorization && strncasecmp(authorization, "Bearer ", 7) == 0)
        given = authorization + 7 + strspn(authorization + 7, " ");
    if (!given)
        return -1;
    size_t length = strlen(given);
    for (int i = 0; i < keys->n; i++) /* all of them, so that the time does not tell which it was */
        if (equal_in_constant_time(given, length, keys->keys[i].key, keys->keys[i].length))
            found = i;
    return found;
}

const char *api_keys_name(const struct api_keys *keys, int index)
{
    return keys->keys[index].name;
}

int api_keys_count(struct api_keys *keys, int index, int change)
{
    return keys->keys[index].under_way += change;
}
