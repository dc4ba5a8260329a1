#include "file/hf_folder.h"

#include <string.h>

#include "base/memory.h"
#include "file/header_reader.h"
#include "file/hf_config.h"
#include "file/json_text.h"
#include "file/safetensors.h"
#include "file/tokenizer_json.h"

#define SINGLE_FILE "model.safetensors"
#define INDEX_FILE "model.safetensors.index.json"
#define TOKENIZER_FILE "tokenizer.json"

struct folder_reader {
    struct hf_folder *folder;
    struct checkpoint *view;
    struct arena *arena;
    struct hash_map *names;
    struct safetensors shards[LIMIT_SHARDS]; /* [folder->n_files] */
    const char *shard_names[LIMIT_SHARDS];
    const json_t *weight_map; /* NULL: one file */
    struct error *err;
};

/* NULL: out of memory, said. */
static const char *path_of(struct folder_reader *reader, const char *name)
{
    const char *path = arena_printf(reader->arena, "%s/%s", reader->view->path, name);
    if (!path)
        header_arena_failed(reader->arena, strlen(name), "opening a model folder", reader->err);
    return path;
}

static int open_shard(struct folder_reader *reader, const char *name)
{
    struct hf_folder *folder = reader->folder;
    const char *path = path_of(reader, name);
    if (!path)
        return SAMPAN_ENOMEM;
    int code = file_open(path, &folder->files[folder->n_files], reader->err);
    if (code == SAMPAN_ENOTFOUND && reader->weight_map)
        return error_set(reader->err, code, "'%s' is missing, but " INDEX_FILE " says that tensors are in it; fetch it into the folder", path);
    if (code)
        return code;
    size_t index = folder->n_files++;
    reader->shard_names[index] = name;
    code = safetensors_parse(folder->files[index], reader->arena, &reader->shards[index], reader->err);
    if (code && code != SAMPAN_EIO) /* errors of reading name the path themselves */
        error_prefix(reader->err, "opening '%s'", path);
    return code;
}

/* ---- the index ---- */

static int check_shard_name(struct folder_reader *reader, const char *tensor, const char *name)
{
    static const char ending[] = ".safetensors";
    size_t length = name ? strlen(name) : 0;
    if (!name)
        return error_set(reader->err, SAMPAN_EFORMAT, INDEX_FILE ": the file of tensor '%s' is no string", tensor);
    if (strchr(name, '/') || strchr(name, '\\') || *name == '.' || length < sizeof ending || strcmp(name + length - strlen(ending), ending) != 0)
        return error_set(reader->err, SAMPAN_EFORMAT,
                         INDEX_FILE ": the file of tensor '%s' is '%s', expected the name of a .safetensors file inside the folder", tensor, name);
    return 0;
}

/* Opens each file that the index names, in the order in which they are named first. */
static int open_shards(struct folder_reader *reader, json_t *weight_map)
{
    struct hash_map seen = {0};
    int code = 0;
    for (void *at = json_object_iter(weight_map); !code && at; at = json_object_iter_next(weight_map, at)) {
        const char *name = json_string_value(json_object_iter_value(at));
        bool existed = false;
        code = check_shard_name(reader, json_object_iter_key(at), name);
        if (!code && hash_map_put(&seen, name, strlen(name), 0, &existed))
            code = error_no_memory(reader->err, "reading " INDEX_FILE);
        if (!code && !existed && reader->folder->n_files == LIMIT_SHARDS)
            code = error_set(reader->err, SAMPAN_ELIMIT, INDEX_FILE " names more than %d files", LIMIT_SHARDS);
        if (!code && !existed)
            code = open_shard(reader, name);
    }
    hash_map_free(&seen);
    return code;
}

/* ---- all tensors in one list ---- */

static int check_index_entry(struct folder_reader *reader, const struct checkpoint_tensor *tensor, size_t shard)
{
    const char *listed = json_string_value(json_object_get(reader->weight_map, tensor->name));
    if (!listed)
        return error_set(reader->err, SAMPAN_EFORMAT, "tensor '%s' is in '%s', but not in " INDEX_FILE, tensor->name, tensor->file->path);
    if (strcmp(listed, reader->shard_names[shard]) != 0)
        return error_set(reader->err, SAMPAN_EFORMAT, "tensor '%s' is in '%s', but " INDEX_FILE " says that it is in '%s'", tensor->name, tensor->file->path,
                         listed);
    return 0;
}

static int add_tensor(struct folder_reader *reader, struct checkpoint_tensor *tensors, const struct checkpoint_tensor *tensor, size_t shard)
{
    bool existed;
    size_t index = reader->view->n_tensors++;
    tensors[index] = *tensor;
    if (hash_map_put(reader->names, tensor->name, strlen(tensor->name), (uint32_t)index, &existed))
        return error_no_memory(reader->err, "indexing tensors");
    if (existed) /* within a file the parser has seen to it */
        return error_set(reader->err, SAMPAN_EFORMAT, "tensor '%s' is in two files, one of them '%s'", tensor->name, tensor->file->path);
    return reader->weight_map ? check_index_entry(reader, tensor, shard) : 0;
}

static int join_shards(struct folder_reader *reader)
{
    size_t total = 0;
    int code = 0;
    for (size_t i = 0; i < reader->folder->n_files; i++)
        total += reader->shards[i].n_tensors;
    if (total > LIMIT_TENSORS)
        return error_set(reader->err, SAMPAN_ELIMIT, "the files have %zu tensors, expected at most %d", total, LIMIT_TENSORS);
    struct checkpoint_tensor *tensors = arena_alloc_array(reader->arena, total + 1, sizeof *tensors); /* never empty */
    if (!tensors)
        return header_arena_failed(reader->arena, total * sizeof *tensors, "listing tensors", reader->err);
    reader->view->tensors = tensors;
    if (hash_map_reserve(reader->names, total))
        return error_no_memory(reader->err, "indexing tensors");
    for (size_t shard = 0; shard < reader->folder->n_files; shard++)
        for (size_t i = 0; !code && i < reader->shards[shard].n_tensors; i++)
            code = add_tensor(reader, tensors, &reader->shards[shard].tensors[i], shard);
    return code;
}

/* Everything in the shards is in the index; the other way round is left. */
static int check_all_found(struct folder_reader *reader, json_t *weight_map)
{
    uint32_t index;
    for (void *at = json_object_iter(weight_map); at; at = json_object_iter_next(weight_map, at)) {
        const char *name = json_object_iter_key(at);
        if (!hash_map_get(reader->names, name, strlen(name), &index))
            return error_set(reader->err, SAMPAN_EFORMAT, INDEX_FILE " says that tensor '%s' is in '%s', but that file does not have it", name,
                             json_string_value(json_object_iter_value(at)));
    }
    return 0;
}

static int read_sharded(struct folder_reader *reader, const char *index_path)
{
    json_t *index;
    int code = json_text_parse_file(index_path, LIMIT_SHARD_INDEX, JSON_TEXT_STRICT, &index, reader->err);
    if (code)
        return code;
    json_t *weight_map = json_object_get(index, "weight_map");
    if (json_object_size(weight_map) == 0)
        code = error_set(reader->err, SAMPAN_EFORMAT, "'%s' has no 'weight_map' with tensors", index_path);
    reader->weight_map = weight_map;
    if (!code)
        code = open_shards(reader, weight_map);
    if (!code)
        code = join_shards(reader);
    if (!code)
        code = check_all_found(reader, weight_map);
    json_decref(index);
    return code;
}

/* Without weights a folder serves to tokenize and render, where it can. */
static int lack_weights(struct folder_reader *reader)
{
    static const char problem[] = "the folder has neither " SINGLE_FILE " nor " INDEX_FILE
                                  "; fetch the model's safetensors files into it (weights in .bin or .pt files are not read), or name a GGUF file";
    const char *tokenizer = path_of(reader, TOKENIZER_FILE);
    if (!tokenizer)
        return SAMPAN_ENOMEM;
    if (!file_exists(tokenizer))
        return error_set(reader->err, SAMPAN_ENOTFOUND, "%s", problem);
    reader->view->weights_problem = problem;
    return 0;
}

/* As transformers does: one file goes before an index. */
static int read_weights(struct folder_reader *reader)
{
    const char *single = path_of(reader, SINGLE_FILE), *index = path_of(reader, INDEX_FILE);
    if (!single || !index)
        return SAMPAN_ENOMEM;
    if (!file_exists(single) && file_exists(index))
        return read_sharded(reader, index);
    int code = open_shard(reader, SINGLE_FILE);
    if (code == SAMPAN_ENOTFOUND)
        return lack_weights(reader);
    return code ? code : join_shards(reader);
}

/* ---- the whole ---- */

static int read_config(struct checkpoint *view, struct arena *arena, struct hash_map *keys, struct error *err)
{
    struct hf_config config;
    int code = hf_config_read(view->path, arena, &config, keys, err);
    if (code == SAMPAN_ENOTFOUND)
        return error_set(err, code,
                         "opening '%s': the folder has no config.json, expected a model folder (config.json, " SINGLE_FILE ") or the path of a .gguf file",
                         view->path);
    view->architecture = config.architecture;
    view->metadata = config.entries;
    view->n_metadata = config.n_entries;
    view->null_keys = config.nulls;
    view->n_null_keys = config.n_nulls;
    return code;
}

static int fill_tokenizer(struct checkpoint *view, struct arena *arena, struct error *err)
{
    int code = tokenizer_json_read(view->path, view, arena, &view->tokenizer, &view->tokenizer_problem, err);
    view->has_tokenizer = !code && !view->tokenizer_problem;
    return code;
}

/* tokenizer.json without a model: for tokenizing and rendering alone. */
static bool is_tokenizer_alone(struct folder_reader *reader, int *code)
{
    const char *config = path_of(reader, "config.json"), *tokenizer = path_of(reader, TOKENIZER_FILE);
    *code = config && tokenizer ? 0 : SAMPAN_ENOMEM;
    return !*code && !file_exists(config) && file_exists(tokenizer);
}

static int read_model(struct folder_reader *reader, struct hash_map *keys)
{
    int code;
    if (is_tokenizer_alone(reader, &code)) {
        reader->view->architecture = "";
        reader->view->weights_problem = "the folder has a tokenizer, but no config.json and no weights";
        return 0;
    }
    if (!code)
        code = read_config(reader->view, reader->arena, keys, reader->err);
    return code ? code : read_weights(reader);
}

int hf_folder_read(struct hf_folder *folder, struct checkpoint *view, struct arena *arena, struct hash_map *keys, struct hash_map *names, struct error *err)
{
    view->kind = CHECKPOINT_HUGGING_FACE;
    struct folder_reader *reader = mem_zalloc(sizeof *reader);
    if (!reader)
        return error_no_memory(err, "opening a model folder");
    *reader = (struct folder_reader){.folder = folder, .view = view, .arena = arena, .names = names, .err = err};
    int code = read_model(reader, keys);
    mem_free(reader);
    if (!code)
        code = fill_tokenizer(view, arena, err);
    if (code && !strstr(err->message, view->path))
        error_prefix(err, "opening '%s'", view->path);
    return code;
}
