/* Private to file/ (and its tests): the parts of tokenizer_json.c. All return 0 or an error whose message names the part of the file;
 * SAMPAN_EUNSUPPORTED: of a type that sampan does not know. */
#ifndef FILE_TOKENIZER_JSON_PARTS_H
#define FILE_TOKENIZER_JSON_PARTS_H

#include <jansson.h>

#include "base/arena.h"
#include "base/error.h"
#include "file/checkpoint.h"
#include "file/tokenizer_spec.h"

/* The whole of a JSON file that must be an object; duplicate keys are refused. The caller owns *root. */
int json_file_read(const char *path, size_t limit, json_t **root, struct error *err);

/* A tokenizer.json in memory, without the files beside it. */
int tokenizer_json_parse(const char *data, size_t length, struct arena *arena, struct tokenizer_spec *spec, struct error *err);

/* "type" of an object, NULL where it is not an object or names none. */
const char *json_type_of(const json_t *object);

/* An optional bool: `fallback` where it is absent or null. */
int json_read_flag(const json_t *object, const char *key, bool fallback, bool *value, struct error *err);

/* The id of a token by its published text, -1: none. */
int32_t tokenizer_spec_find(const struct tokenizer_spec *spec, const char *text, size_t length);

/* ---- tokenizer_json_part.c: a part of the file, which is one object with a "type", null, or a Sequence of such under `list_key` ---- */

enum { PART_LIST = 64 };
struct part;

/* A type and what reads an object of it; a row of zeros ends the list. */
struct part_row {
    const char *type;
    int (*add)(struct part *part, const json_t *element, int kind);
    int kind;
};

struct part {
    const char *name, *list_key;
    const struct part_row *rows;
    struct arena *arena;
    struct tokenizer_spec *spec;
    struct error *err;
    int count; /* elements read, at most PART_LIST */
    union {    /* where they are put: [PART_LIST] */
        struct tokenizer_stage *stages;
        struct tokenizer_normalizer *normalizers;
        struct tokenizer_decoder *decoders;
        struct {
            const json_t *special_tokens;
            int32_t *ids; /* [2 * PART_LIST] in front, behind */
        };
    } to;
};

int part_walk(struct part *part, const json_t *element);

/* Members of an element, copied into the arena. The pattern is {"Regex": ...} or {"String": ...}. */
int part_read_text(struct part *part, const json_t *element, const char *key, struct byte_string *text);
int part_read_pattern(struct part *part, const json_t *element, struct byte_string *text, bool *literal);
int part_read_metaspace(struct part *part, const json_t *element, struct byte_string *mark, enum prepend_scheme *prepend);

/* Does the pre-tokenizer write bytes as characters? (Stages have been read.) */
bool tokenizer_spec_is_byte_level(const struct tokenizer_spec *spec);

/* tokenizer_json_stages.c: normalizer, pre_tokenizer. tokenizer_json_behind.c: post_processor, decoder. */
int tokenizer_json_fill_stages(const json_t *root, struct arena *arena, struct tokenizer_spec *spec, struct error *err);
int tokenizer_json_fill_behind(const json_t *root, struct arena *arena, struct tokenizer_spec *spec, struct error *err);

/* tokenizer_json_model.c: vocabulary, merges, added tokens, what the model does with what it does not know. After the stages. */
int tokenizer_json_fill_model(const json_t *root, struct arena *arena, struct tokenizer_spec *spec, struct error *err);

/* tokenizer_json_config.c: the files beside tokenizer.json, each of which may be absent. */
int tokenizer_json_fill_config(const char *folder, const struct checkpoint *view, struct arena *arena, struct tokenizer_spec *spec, struct error *err);

#endif
