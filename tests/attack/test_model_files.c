/* Known classes of attack by a model's file, each by name with where it was seen. A file that lies is refused with a reason; one that is merely odd may work;
 * none crashes, hangs or reads what is not its own (the sanitizers look). tests/file has the formats' own lies, byte by byte; here a whole, sound model is
 * changed in one place and then used as a program would use it: described, its text used, loaded, made to answer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "sampan.h"
#include "support_attack.h"

#define MAY_WORK NULL

static void expect(const char *name, int code, const char *message, const char *expected)
{
    if (expected == MAY_WORK) {
        if (code && !*message)
            fail_msg("%s: an error without a reason", name);
        return;
    }
    if (!code)
        fail_msg("%s: was not refused", name);
    if (!strstr(message, expected))
        fail_msg("%s: '%s', expected '%s'", name, message, expected);
}

/* Uses a changed file. */
static void judge_file(const char *name, struct buffer *file, const char *expected)
{
    char message[1024];
    attack_write("model.gguf", file->data, file->length);
    attack_begins(name);
    int code = attack_use_model(attack_path("model.gguf"), message);
    attack_ended();
    expect(name, code, message, expected);
    buffer_free(file);
}

/* ---- Numbers of the architecture: zero divides, negative and huge ones overflow, others disagree with the tensors. */

static uint64_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void hyperparameters(void **state)
{
    (void)state;
    const struct {
        const char *name, *key; /* below "llama." */
        uint64_t value;
        const char *expected;
    } rows[] = {
        {"division by zero: no heads", "attention.head_count", 0, "head_count"},
        {"division by zero: no key heads", "attention.head_count_kv", 0, "head_count_kv"},
        {"heads that key heads do not divide", "attention.head_count_kv", 3, "head"},
        {"more key heads than heads", "attention.head_count_kv", 8, "head"},
        {"heads that overflow a product", "attention.head_count", 0x80000000u, "head_count"},
        {"heads that do not fit the tensors", "attention.head_count", 8, "head"},
        {"negative as unsigned: layers", "block_count", 0xFFFFFFFFu, "block_count"},
        {"no layers", "block_count", 0, "block_count"},
        {"more layers than tensors", "block_count", 3, "blk.2."},
        {"fewer layers than tensors", "block_count", 1, "blk.1."},
        {"layers by the million", "block_count", 1000000, "block_count"},
        {"no hidden size", "embedding_length", 0, "embedding_length"},
        {"a hidden size that the tensors lack", "embedding_length", 128, "token_embd"},
        {"a hidden size that overflows", "embedding_length", 0x40000000u, "embedding_length"},
        {"no feed-forward", "feed_forward_length", 0, "feed_forward_length"},
        {"a feed-forward that the tensors lack", "feed_forward_length", 256, "ffn"},
        {"no context", "context_length", 0, "context_length"},
        {"a context of four thousand million", "context_length", 0xFFFFFFFFu, "context_length"},
        {"a vocabulary larger than the embedding: rows beyond it would be read", "vocab_size", 300, "vocab"},
        {"a vocabulary of zero", "vocab_size", 0, "vocab"},
        {"odd rotary width", "rope.dimension_count", 15, "rope.dimension_count"},
        {"rotary width beyond the head", "rope.dimension_count", 64, "rope.dimension_count"},
        {"rotary base NaN", "rope.freq_base", bits_of(NAN), "freq_base"},
        {"rotary base zero", "rope.freq_base", 0, "freq_base"},
        {"rotary base negative", "rope.freq_base", bits_of(-1), "freq_base"},
        {"rotary base infinite", "rope.freq_base", bits_of(INFINITY), "freq_base"},
        {"epsilon NaN", "attention.layer_norm_rms_epsilon", bits_of(NAN), "epsilon"},
        {"epsilon negative: the root of a negative number", "attention.layer_norm_rms_epsilon", bits_of(-1), "epsilon"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer file;
        char key[128];
        attack_file_init(&file);
        snprintf(key, sizeof key, "llama.%s", rows[i].key);
        attack_put(attack_find_value(&file, key), rows[i].value, 4);
        judge_file(rows[i].name, &file, rows[i].expected);
    }
}

/* ---- Tensors: shapes and places that the bytes of the file do not back. */

enum field { DIMENSIONS, FIRST, SECOND, TYPE, OFFSET };

static void tensors(void **state)
{
    (void)state;
    static const struct {
        const char *name; /* with where it was seen */
        enum field field;
        uint64_t value;
        const char *expected;
    } rows[] = {
        {"product of dimensions overflows (llama.cpp, CVE-2026-33298)", SECOND, UINT64_C(1) << 58, ""},
        {"dimensions whose product wraps to the right one", SECOND, (UINT64_C(1) << 58) + 288, ""},
        {"size that overflows when padded (llama.cpp, GGML_PAD)", FIRST, UINT64_MAX / 4, ""},
        {"negative dimension (INT64_MIN)", SECOND, UINT64_C(1) << 63, ""},
        {"larger than the file: reads what lies behind (Ollama, CVE-2026-7482)", SECOND, 100000, ""},
        {"zero columns", FIRST, 0, ""},
        {"zero rows", SECOND, 0, ""},
        {"no dimensions", DIMENSIONS, 0, ""},
        {"more dimensions than there is room for", DIMENSIONS, 1000, ""},
        {"negative type (ggml: type traits read out of bounds)", TYPE, 0xFFFFFFFFu, ""},
        {"type beyond the table", TYPE, 250, ""},
        {"another type of another size", TYPE, 0, ""},
        {"data that begins behind the end", OFFSET, UINT64_C(1) << 40, ""},
        {"data whose end wraps around", OFFSET, UINT64_MAX - 31, ""},
        {"data over another tensor's", OFFSET, 32, ""},
        {"data at an odd place", OFFSET, 33, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const size_t places[] = {[DIMENSIONS] = 0, [FIRST] = 4, [SECOND] = 12, [TYPE] = 20, [OFFSET] = 24};
        struct buffer file;
        attack_file_init(&file);
        char *info = attack_find_tensor(&file, "token_embd.weight");
        attack_put(info + places[rows[i].field], rows[i].value, rows[i].field == DIMENSIONS || rows[i].field == TYPE ? 4 : 8);
        judge_file(rows[i].name, &file, rows[i].expected);
    }
}

/* ---- Counts and lengths in front of what they count (llama.cpp: CVE-2024-21802, -21825, -21836, -23496, -23605: overflows in n_tensors, n_kv, strings). */

static void counts(void **state)
{
    (void)state;
    static const uint64_t values[] = {UINT64_MAX, INT64_MAX, UINT64_C(1) << 63, UINT64_C(1) << 32, UINT64_MAX / 24, UINT64_MAX / 88 + 1};
    static const struct {
        const char *name, *key; /* NULL: a place in the header */
        size_t place;           /* of the header, or behind the value's beginning */
    } rows[] = {
        {"number of tensors", NULL, 8},
        {"number of metadata entries", NULL, 16},
        {"length of a string", "general.name", 0},
        {"elements of an array of strings", "tokenizer.ggml.tokens", 4},
        {"elements of an array of numbers", "tokenizer.ggml.token_type", 4},
        {"length of a string in an array", "tokenizer.ggml.merges", 12},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            struct buffer file;
            attack_file_init(&file);
            attack_put((rows[i].key ? attack_find_value(&file, rows[i].key) : file.data) + rows[i].place, values[v], 8);
            judge_file(rows[i].name, &file, "");
        }
}

/* ---- Vocabularies (llama.cpp: CVE-2025-49847 and byte tokens that index a table of 256, arrays read as another type, special ids out of range). */

static void retype(struct buffer *file, const char *key, uint32_t element_type)
{
    attack_put(attack_find_value(file, key), element_type, 4);
}

static void vocabularies(void **state)
{
    (void)state;
    static const struct {
        const char *name, *key, *expected;
        uint32_t value;
    } ids[] = {
        {"BOS beyond the vocabulary", "tokenizer.ggml.bos_token_id", "bos", 288},
        {"BOS of -1 as unsigned", "tokenizer.ggml.bos_token_id", MAY_WORK, 0xFFFFFFFFu}, /* published files mean "none" by it */
        {"EOS beyond the vocabulary", "tokenizer.ggml.eos_token_id", "eos", 100000},
        {"unknown token beyond the vocabulary", "tokenizer.ggml.unknown_token_id", "unknown", 0x7FFFFFFFu},
        {"padding token beyond the vocabulary", "tokenizer.ggml.padding_token_id", "padding", 0x80000000u},
    };
    struct buffer file;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        attack_file_init(&file);
        attack_put(attack_find_value(&file, ids[i].key), ids[i].value, 4);
        judge_file(ids[i].name, &file, ids[i].expected);
    }
    attack_file_init(&file); /* the count fits the vocabulary, the elements are narrower: an unchecked reader strides past the end */
    retype(&file, "tokenizer.ggml.token_type", 0);
    judge_file("token types as bytes read as int32", &file, "");
    attack_file_init(&file);
    retype(&file, "tokenizer.ggml.tokens", 5);
    judge_file("tokens that are numbers", &file, "");
    attack_file_init(&file);
    attack_put(attack_find_value(&file, "tokenizer.ggml.token_type") + 12, 0xFFFFFFFFu, 4);
    judge_file("a token of kind -1", &file, "");
    attack_file_init(&file);
    memcpy(attack_find_value(&file, "tokenizer.ggml.model") + 8, "llam", 4); /* another tokenizer's name over this one's tokens: <0xNN> bytes are missing */
    judge_file("a vocabulary of another tokenizer", &file, MAY_WORK);
}

/* ---- Weights: numbers that are none. They may not crash, hang or leave the sampler without an answer to say so. */

static void weights(void **state)
{
    (void)state;
    static const unsigned char fills[] = {0xFF, 0x7F, 0x00, 0x80, 0x7C, 0xFC};
    for (size_t i = 0; i < sizeof fills; i++) {
        struct buffer file;
        attack_file_init(&file);
        memset(file.data + file.length / 2, fills[i], file.length - file.length / 2); /* block scales and norms of NaN, infinity, zero, ... */
        judge_file("weights of one repeated byte", &file, MAY_WORK);
        attack_file_init(&file);
        uint64_t offset;
        memcpy(&offset, attack_find_tensor(&file, "output_norm.weight") + 4 + 8 + 4, 8);
        struct buffer whole = file;
        memset(whole.data + whole.length - 256, fills[i], 256);
        judge_file("the last weights of one repeated byte", &file, MAY_WORK);
    }
}

/* ---- safetensors and the files beside it. */

static void write_header(const char *header, uint64_t claimed, size_t data)
{
    static char bytes[1 << 16];
    size_t length = strlen(header);
    memcpy(bytes, &claimed, 8);
    memcpy(bytes + 8, header, length);
    memset(bytes + 8 + length, 0, data);
    attack_write("folder/model.safetensors", bytes, 8 + length + data);
}

static void judge_folder(const char *name, const char *expected)
{
    char message[1024];
    attack_begins(name);
    int code = attack_use_model(attack_path("folder"), message);
    attack_ended();
    expect(name, code, message, expected);
}

static void safetensors(void **state)
{
    (void)state;
    static const struct {
        const char *name, *header, *expected;
        uint64_t claimed; /* 0: as long as it is */
    } rows[] = {
        {"a header longer than the file", "{}", "header", UINT64_C(1) << 40},
        {"a header whose end wraps around", "{}", "header", UINT64_MAX - 4},
        {"offsets in reverse", "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "", 0},
        {"offsets beyond the end", "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8000000]}}", "", 0},
        {"negative offsets", "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", "", 0},
        {"a shape that overflows", "{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", "", 0},
        {"a shape that the bytes do not back", "{\"t\":{\"dtype\":\"F32\",\"shape\":[2000],\"data_offsets\":[0,8]}}", "", 0},
        {"a negative dimension", "{\"t\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "", 0},
        {"two tensors on the same bytes",
         "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"u\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "", 0},
        {"a tensor twice", "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
         "duplicate", 0},
        {"a name with a NUL", "{\"t\\u0000x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "NUL", 0},
        {"a reference in place of data", "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"file\":\"/etc/passwd\"}}", "", 0},
    };
    attack_copy("config.json", "folder/config.json");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_header(rows[i].header, rows[i].claimed ? rows[i].claimed : strlen(rows[i].header), 8);
        judge_folder(rows[i].name, rows[i].expected);
    }
    static char deep[60000];
    memset(deep, '[', sizeof deep - 1);
    write_header(deep, sizeof deep - 1, 0);
    judge_folder("nesting that overflows the stack", "");
    attack_remove("folder/model.safetensors");
}

/* Paths in a file reach no further than its folder. Links do, on purpose: caches of downloads are made of them, and who can make a link can read the file. */
static void paths(void **state)
{
    (void)state;
    static const char *const names[] = {"../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", "", "x\\u0000.safetensors", "/dev/zero", "."};
    attack_copy("model.safetensors", "secret.safetensors");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char index[256];
        snprintf(index, sizeof index, "{\"weight_map\": {\"model.embed_tokens.weight\": \"%s\"}}", names[i]);
        attack_write("folder/model.safetensors.index.json", index, strlen(index));
        judge_folder("a shard outside the folder", "");
    }
    attack_remove("folder/model.safetensors.index.json");
    attack_remove("folder/config.json");
    assert_int_equal(mkfifo(attack_path("folder/config.json"), 0600), 0);
    judge_folder("a pipe in place of a file: reading it would wait for ever", "pipe");
    attack_remove("folder/config.json");
    assert_int_equal(symlink("config.json", attack_path("folder/config.json")), 0);
    judge_folder("a link to itself", "");
    attack_remove("folder/config.json");
    assert_int_equal(symlink("/dev/zero", attack_path("folder/config.json")), 0);
    judge_folder("a file without an end", "");
    attack_remove("folder/config.json");
}

static void configurations(void **state)
{
    (void)state;
    static const struct {
        const char *name, *key, *value, *expected;
    } rows[] = {
        {"no heads", "num_attention_heads", "0", "num_attention_heads"},
        {"negative heads", "num_attention_heads", "-4", "num_attention_heads"},
        {"heads as a fraction", "num_attention_heads", "3.5", "num_attention_heads"},
        {"heads as text", "num_attention_heads", "\"4\"", "num_attention_heads"},
        {"layers beyond any limit", "num_hidden_layers", "2147483647", "num_hidden_layers"},
        {"a number beyond 64 bits", "hidden_size", "99999999999999999999", ""},
        {"a number beyond any double", "rms_norm_eps", "1e999", ""},
        {"an unknown activation", "hidden_act", "\"evil\"", "hidden_act"},
        {"a vocabulary beyond the embedding", "vocab_size", "1000000", ""},
        {"code in place of an architecture", "architectures", "[\"__import__('os').system('x')\"]", "family"},
        {"no architectures", "architectures", "[]", "architecture"},
    };
    attack_copy("model.safetensors", "folder/model.safetensors");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static char config[4096];
        static const char *const usual[][2] = {
            {"architectures", "[\"LlamaForCausalLM\"]"},
            {"hidden_size", "32"},
            {"intermediate_size", "48"},
            {"num_attention_heads", "4"},
            {"num_key_value_heads", "2"},
            {"head_dim", "8"},
            {"num_hidden_layers", "2"},
            {"vocab_size", "128"},
            {"rms_norm_eps", "1e-05"},
            {"hidden_act", "\"silu\""},
            {"max_position_embeddings", "128"},
            {"tie_word_embeddings", "true"},
            {"model_type", "\"llama\""},
        };
        size_t at = 0;
        for (size_t k = 0; k < sizeof usual / sizeof *usual; k++)
            at += (size_t)snprintf(config + at, sizeof config - at, "%s\"%s\": %s", k ? ", " : "{", usual[k][0],
                                   strcmp(usual[k][0], rows[i].key) == 0 ? rows[i].value : usual[k][1]);
        at += (size_t)snprintf(config + at, sizeof config - at, "}");
        attack_write("folder/config.json", config, at);
        judge_folder(rows[i].name, rows[i].expected);
    }
}

/* The attacks would prove nothing if the model did not work without them. */
static void the_sound_models_work(void **state)
{
    (void)state;
    struct buffer file;
    char message[1024];
    attack_file_init(&file);
    attack_write("model.gguf", file.data, file.length);
    buffer_free(&file);
    if (attack_use_model(attack_path("model.gguf"), message))
        fail_msg("%s", message);
    attack_copy("config.json", "sound/config.json");
    attack_copy("model.safetensors", "sound/model.safetensors");
    if (attack_use_model(attack_path("sound"), message))
        fail_msg("%s", message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sound_models_work), cmocka_unit_test(hyperparameters), cmocka_unit_test(tensors),     cmocka_unit_test(counts),
        cmocka_unit_test(vocabularies),          cmocka_unit_test(weights),         cmocka_unit_test(safetensors), cmocka_unit_test(paths),
        cmocka_unit_test(configurations),
    };
    return cmocka_run_group_tests_name("attacks by model files", tests, NULL, NULL);
}
