/* Opening, the two indices, typed access. What kind of file it is decides who fills the view. */
#include "file/checkpoint.h"

#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash_map.h"
#include "base/memory.h"
#include "file/gguf.h"
#include "file/gguf_tokenizer.h"
#include "file/hf_folder.h"

/* What the view does not show. `view` is first: a pointer to one is a pointer to the other. */
struct opened_checkpoint {
    struct checkpoint view;
    struct arena arena;       /* metadata, tensors, tokenizer spec */
    struct hash_map keys;     /* key -> index in view.metadata */
    struct hash_map names;    /* name -> index in view.tensors */
    struct file *file;        /* of a GGUF */
    struct hf_folder *folder; /* or the files of a folder */
    struct file_map *maps;    /* [n_files] NULL: not mapped */
};

static const struct opened_checkpoint *opened_of(const struct checkpoint *checkpoint)
{
    return (const struct opened_checkpoint *)(const void *)checkpoint;
}

/* ---- opening ---- */

/* What the metadata of a file may take in memory: a base for honest small files plus a multiple of the file, so that a small file never
 * makes a large allocation. Published vocabularies need 5 to 8 bytes per byte of the file; an array of single bytes would need 32. */
static size_t memory_limit(const struct file *file)
{
    enum { BASE = 64 << 20, PER_FILE_BYTE = 8 };
    if (file->size > (LIMIT_METADATA_MEMORY - BASE) / PER_FILE_BYTE)
        return LIMIT_METADATA_MEMORY;
    return BASE + PER_FILE_BYTE * (size_t)file->size;
}

static int fill_from_gguf(struct opened_checkpoint *opened, struct error *err)
{
    struct checkpoint *view = &opened->view;
    struct gguf gguf;
    bool found;
    int code = gguf_parse(opened->file, &opened->arena, &gguf, &opened->keys, &opened->names, err);
    if (code)
        return code;
    view->kind = CHECKPOINT_GGUF;
    view->path = opened->file->path;
    view->metadata = gguf.metadata;
    view->n_metadata = gguf.n_metadata;
    view->tensors = gguf.tensors;
    view->n_tensors = gguf.n_tensors;
    code = checkpoint_get_string(view, "general.architecture", &view->architecture, &found, err);
    if (code)
        return code;
    if (!found || !view->architecture[0])
        return error_set(err, SAMPAN_EFORMAT, "metadata 'general.architecture' is missing or empty, expected the model family's name");
    return gguf_fill_tokenizer(view, &opened->arena, err);
}

static int open_folder(struct opened_checkpoint *opened, const char *path, struct error *err)
{
    arena_init(&opened->arena, LIMIT_METADATA_MEMORY);
    opened->folder = mem_zalloc(sizeof *opened->folder);
    opened->view.path = arena_strndup(&opened->arena, path, strlen(path));
    if (!opened->folder || !opened->view.path)
        return error_no_memory(err, "opening a model folder");
    return hf_folder_read(opened->folder, &opened->view, &opened->arena, &opened->keys, &opened->names, err);
}

static int open_gguf(struct opened_checkpoint *opened, const char *path, struct error *err)
{
    int code = file_open(path, &opened->file, err);
    if (code)
        return code;
    arena_init(&opened->arena, memory_limit(opened->file));
    code = fill_from_gguf(opened, err);
    if (code && code != SAMPAN_EIO) /* errors of reading name the path themselves */
        error_prefix(err, "opening '%s'", path);
    return code;
}

int checkpoint_open(const char *path, struct checkpoint **checkpoint, struct error *err)
{
    struct error ignored;
    err = err ? err : &ignored;
    *checkpoint = NULL;
    struct opened_checkpoint *opened = mem_zalloc(sizeof *opened);
    if (!opened)
        return error_no_memory(err, "opening a checkpoint");
    int code = file_is_folder(path) ? open_folder(opened, path, err) : open_gguf(opened, path, err);
    if (code)
        checkpoint_close(&opened->view);
    else
        *checkpoint = &opened->view;
    return code;
}

static size_t count_files(const struct opened_checkpoint *opened)
{
    return opened->folder ? opened->folder->n_files : opened->file ? 1 : 0;
}

static const struct file *file_at(const struct opened_checkpoint *opened, size_t i)
{
    return opened->folder ? opened->folder->files[i] : opened->file;
}

int checkpoint_map(struct checkpoint *checkpoint, struct error *err)
{
    struct opened_checkpoint *opened = (struct opened_checkpoint *)(void *)checkpoint;
    int code = 0;
    if (opened->maps)
        return 0;
    size_t n = count_files(opened);
    struct file_map *maps = mem_zalloc_array(n + 1, sizeof *maps);
    if (!maps)
        return error_no_memory(err, "mapping a model");
    for (size_t i = 0; !code && i < n; i++)
        code = file_map_open(file_at(opened, i), &maps[i], err);
    for (size_t i = 0; code && i < n; i++)
        file_map_close(&maps[i]);
    if (code)
        mem_free(maps);
    else
        opened->maps = maps;
    return code;
}

const void *checkpoint_mapped_bytes(const struct checkpoint *checkpoint, const struct checkpoint_tensor *tensor)
{
    const struct opened_checkpoint *opened = opened_of(checkpoint);
    for (size_t i = 0; opened->maps && i < count_files(opened); i++)
        if (file_at(opened, i) == tensor->file)
            return opened->maps[i].bytes + tensor->offset; /* the extent was checked when the file was opened */
    return NULL;
}

void checkpoint_close(struct checkpoint *checkpoint)
{
    struct opened_checkpoint *opened = (struct opened_checkpoint *)(void *)checkpoint;
    if (!opened)
        return;
    for (size_t i = 0; opened->maps && i < count_files(opened); i++)
        file_map_close(&opened->maps[i]);
    mem_free(opened->maps);
    hash_map_free(&opened->keys);
    hash_map_free(&opened->names);
    arena_free(&opened->arena);
    file_close(opened->file);
    for (size_t i = 0; opened->folder && i < opened->folder->n_files; i++)
        file_close(opened->folder->files[i]);
    mem_free(opened->folder);
    mem_free(opened);
}

/* ---- looking things up ---- */

const struct checkpoint_tensor *checkpoint_find_tensor(const struct checkpoint *checkpoint, const char *name)
{
    uint32_t index;
    return hash_map_get(&opened_of(checkpoint)->names, name, strlen(name), &index) ? &checkpoint->tensors[index] : NULL;
}

const struct metadata_value *checkpoint_find(const struct checkpoint *checkpoint, const char *key)
{
    uint32_t index;
    return hash_map_get(&opened_of(checkpoint)->keys, key, strlen(key), &index) ? &checkpoint->metadata[index].value : NULL;
}

bool checkpoint_is_null(const struct checkpoint *checkpoint, const char *key)
{
    for (size_t i = 0; i < checkpoint->n_null_keys; i++)
        if (strcmp(checkpoint->null_keys[i], key) == 0)
            return true;
    return false;
}

/* *value is NULL when the key is absent and that is allowed (`found` given). */
static int look_up(const struct checkpoint *checkpoint, const char *key, const struct metadata_value **value, bool *found, struct error *err)
{
    *value = checkpoint_find(checkpoint, key);
    if (found)
        *found = *value != NULL;
    if (!*value && !found)
        return error_set(err, SAMPAN_ENOTFOUND, "metadata '%s' is missing", key);
    return 0;
}

static int refuse_type(const char *key, const struct metadata_value *value, const char *expected, struct error *err)
{
    static const char *const names[] = {"an unsigned integer", "a signed integer", "a float", "a bool", "a string", "an array"};
    return error_set(err, SAMPAN_EFORMAT, "metadata '%s' is %s, expected %s", key, names[value->type], expected);
}

int checkpoint_get_int(const struct checkpoint *checkpoint, const char *key, int64_t minimum, int64_t maximum, int64_t *result, bool *found, struct error *err)
{
    const struct metadata_value *value;
    int code = look_up(checkpoint, key, &value, found, err);
    if (code || !value)
        return code;
    if (value->type != METADATA_UNSIGNED && value->type != METADATA_SIGNED)
        return refuse_type(key, value, "an integer", err);
    if (value->type == METADATA_UNSIGNED && value->u > INT64_MAX)
        return error_set(err, SAMPAN_EFORMAT, "metadata '%s' is %" PRIu64 ", expected %" PRId64 " to %" PRId64, key, value->u, minimum, maximum);
    int64_t number = value->type == METADATA_UNSIGNED ? (int64_t)value->u : value->i;
    if (number < minimum || number > maximum)
        return error_set(err, SAMPAN_EFORMAT, "metadata '%s' is %" PRId64 ", expected %" PRId64 " to %" PRId64, key, number, minimum, maximum);
    *result = number;
    return 0;
}

int checkpoint_get_float(const struct checkpoint *checkpoint, const char *key, double minimum, double maximum, double *result, bool *found, struct error *err)
{
    const struct metadata_value *value;
    int code = look_up(checkpoint, key, &value, found, err);
    if (code || !value)
        return code;
    double number = value->f;
    if (checkpoint->kind == CHECKPOINT_HUGGING_FACE && value->type == METADATA_UNSIGNED) /* JSON has one kind of numbers: "rope_theta": 10000 */
        number = (double)value->u;
    else if (checkpoint->kind == CHECKPOINT_HUGGING_FACE && value->type == METADATA_SIGNED)
        number = (double)value->i;
    else if (value->type != METADATA_FLOAT)
        return refuse_type(key, value, "a float", err);
    if (!(number >= minimum && number <= maximum)) /* so that NaN is refused */
        return error_set(err, SAMPAN_EFORMAT, "metadata '%s' is %g, expected %g to %g", key, number, minimum, maximum);
    *result = number;
    return 0;
}

int checkpoint_get_bool(const struct checkpoint *checkpoint, const char *key, bool *result, bool *found, struct error *err)
{
    const struct metadata_value *value;
    int code = look_up(checkpoint, key, &value, found, err);
    if (code || !value)
        return code;
    if (value->type != METADATA_BOOL)
        return refuse_type(key, value, "a bool", err);
    *result = value->b;
    return 0;
}

int checkpoint_get_string(const struct checkpoint *checkpoint, const char *key, const char **result, bool *found, struct error *err)
{
    const struct metadata_value *value;
    int code = look_up(checkpoint, key, &value, found, err);
    if (code || !value)
        return code;
    if (value->type != METADATA_STRING)
        return refuse_type(key, value, "a string", err);
    if (memchr(value->string.data, '\0', value->string.length))
        return error_set(err, SAMPAN_EFORMAT, "metadata '%s' contains a NUL byte, expected plain text", key);
    *result = value->string.data;
    return 0;
}
