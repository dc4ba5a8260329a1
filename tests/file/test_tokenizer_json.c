/* tokenizer.json and the files beside it: what is written arrives in the spec, each lie gets its answer, each unknown type is named, memory and reads that
 * fail. The file under test is a small one of which each case replaces a part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "file/checkpoint.h"
#include "file/tokenizer_json.h"
#include "file/tokenizer_json_parts.h"

#define MODEL "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<s>\":3},\"merges\":[[\"a\",\"b\"]]}"
#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define ADDED                                                                                                                                                  \
    "[{\"id\":3,\"content\":\"<s>\",\"special\":true},{\"id\":6,\"content\":\"<x>\",\"special\":false,\"lstrip\":true,\"rstrip\":true,\"normalized\":true}]"

enum replaced { PART_MODEL, PART_ADDED, PART_NORMALIZER, PART_PRE_TOKENIZER, PART_POST_PROCESSOR, PART_DECODER, N_PARTS };

/* The file with one part replaced; in a static buffer. */
static const char *file_with(enum replaced part, const char *replacement)
{
    static const char *const names[N_PARTS] = {"model", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"};
    static const char *const usual[N_PARTS] = {MODEL, ADDED, "null", BYTE_LEVEL, "null", BYTE_LEVEL};
    static char text[8192];
    size_t at = 0;
    for (int i = 0; i < N_PARTS; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s\"%s\":%s", i ? "," : "{", names[i], i == (int)part ? replacement : usual[i]);
    snprintf(text + at, sizeof text - at, "}");
    return text;
}

static int parse(const char *text, struct arena *arena, struct tokenizer_spec *spec, struct error *err)
{
    arena_init(arena, 64u << 20);
    return tokenizer_json_parse(text, strlen(text), arena, spec, err);
}

static void everything_that_is_written_arrives_in_the_spec(void **state)
{
    struct arena arena;
    struct tokenizer_spec spec;
    struct error err = {0};
    (void)state;
    if (parse(file_with(PART_PRE_TOKENIZER,
                        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"String\":\"x\"},\"behavior\":\"Removed\","
                        "\"invert\":true},{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL "]}"),
              &arena, &spec, &err))
        fail_msg("%s", err.message);
    assert_int_equal(spec.n_tokens, 7); /* with a gap: 4 and 5 */
    assert_string_equal(spec.tokens[2].text.data, "ab");
    assert_int_equal(spec.tokens[3].kind, TOKEN_CONTROL);
    assert_int_equal(spec.tokens[5].kind, TOKEN_UNUSED);
    assert_int_equal(spec.tokens[6].kind, TOKEN_USER_DEFINED);
    assert_int_equal(spec.added_flags[3], ADDED_IS_IN_MODEL);
    assert_int_equal(spec.added_flags[6], ADDED_TAKES_SPACE_BEFORE | ADDED_TAKES_SPACE_BEHIND | ADDED_FOUND_AFTER_NORMALIZING);
    assert_int_equal(spec.n_merges, 1);
    assert_string_equal(spec.merges[0].text, "a b");
    assert_int_equal(spec.n_stages, 3);
    assert_int_equal(spec.stages[0].kind, STAGE_SPLIT);
    assert_int_equal(spec.stages[0].behavior, SPLIT_REMOVED);
    assert_true(spec.stages[0].inverted && spec.stages[0].literal);
    assert_int_equal(spec.stages[1].kind, STAGE_DIGITS);
    assert_int_equal(spec.stages[1].behavior, SPLIT_ISOLATED);
    assert_true(spec.stages[2].use_pattern && !spec.stages[2].add_prefix_space);
    arena_free(&arena);
}

static void merges_as_text_and_as_pairs_are_the_same(void **state)
{
    struct arena arena;
    struct tokenizer_spec spec;
    (void)state;
    assert_int_equal(parse(file_with(PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"],\"ignore_merges\":true}"), &arena,
                           &spec, NULL),
                     0);
    assert_string_equal(spec.merges[0].text, "a b");
    assert_true(spec.ignore_merges);
    arena_free(&arena);
}

static const struct {
    enum replaced part;
    const char *text;
    int code;
    const char *message; /* a part of it */
} lies[] = {
    {PART_MODEL, "null", SAMPAN_EFORMAT, "'model' is not an object"},
    {PART_MODEL, "{\"type\":\"WordLevel\"}", SAMPAN_EUNSUPPORTED, "type 'WordLevel'"},
    {PART_MODEL, "{\"type\":\"Unigram\"}", SAMPAN_EFORMAT, "'model.vocab' is not an array"},
    {PART_MODEL, "{\"type\":\"Unigram\",\"vocab\":[[\"a\",0.0]]}", SAMPAN_EUNSUPPORTED, "behind the pre-tokenizer 'ByteLevel'"},
    {PART_MODEL, "{\"type\":\"Unigram\",\"vocab\":[[\"a\",0.0],[\"b\"]]}", SAMPAN_EFORMAT, "entry 1 is not"},
    {PART_MODEL, "{\"type\":\"Unigram\",\"vocab\":[[\"a\",0.0]],\"unk_id\":9}", SAMPAN_EFORMAT, "'model.unk_id' is not the id"},
    {PART_MODEL, "{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}", SAMPAN_EUNSUPPORTED, "behind the pre-tokenizer 'ByteLevel'"},
    {PART_MODEL, "{\"type\":\"WordPiece\",\"vocab\":{\"a\":0},\"unk_token\":\"[UNK]\"}", SAMPAN_EFORMAT, "unk_token' is not a token"},
    {PART_MODEL, "{\"type\":\"WordPiece\",\"vocab\":{\"a\":0},\"max_input_chars_per_word\":0}", SAMPAN_EFORMAT, "max_input_chars_per_word"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"byte_fallback\":true}", SAMPAN_EUNSUPPORTED, "byte_fallback"},
    {PART_MODEL, "{\"type\":\"BPE\",\"byte_fallback\":7}", SAMPAN_EFORMAT, "'byte_fallback' is neither"},
    {PART_MODEL, "{\"type\":\"BPE\",\"dropout\":0.5}", SAMPAN_EUNSUPPORTED, "dropout"},
    {PART_MODEL, "{\"type\":\"BPE\",\"end_of_word_suffix\":7}", SAMPAN_EFORMAT, "end_of_word_suffix"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}", SAMPAN_EFORMAT, "one space between"},
    {PART_MODEL, "{\"type\":\"BPE\"}", SAMPAN_EFORMAT, "'model.vocab' is not an object"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}", SAMPAN_EFORMAT, "duplicate"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}", SAMPAN_EFORMAT, "the id 0 is given to two tokens"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}", SAMPAN_EFORMAT, "the id of the token 'a'"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":1.5},\"merges\":[]}", SAMPAN_EFORMAT, "the id of the token 'a'"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":100000},\"merges\":[]}", SAMPAN_ELIMIT, "too large for a vocabulary of 3 tokens"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":9223372036854775807},\"merges\":[]}", SAMPAN_ELIMIT, "too large"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":99999999999999999999},\"merges\":[]}", SAMPAN_EFORMAT, "integer"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":0}}", SAMPAN_EFORMAT, "'model.merges' is not an array"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}", SAMPAN_EFORMAT, "merge 0 is neither"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[7]}", SAMPAN_EFORMAT, "merge 0 is neither"},
    {PART_MODEL, "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"a\"}", SAMPAN_EUNSUPPORTED, "unk_token"},
    {PART_ADDED, "7", SAMPAN_EFORMAT, "'added_tokens' is not an array"},
    {PART_ADDED, "[7]", SAMPAN_EFORMAT, "entry 0 has no text"},
    {PART_ADDED, "[{\"content\":\"\",\"id\":4}]", SAMPAN_EFORMAT, "entry 0 has no text"},
    {PART_ADDED, "[{\"content\":\"x\"}]", SAMPAN_EFORMAT, "the id of the token 'x'"},
    {PART_ADDED, "[{\"content\":\"x\",\"id\":0}]", SAMPAN_EFORMAT, "two tokens, 'a' and 'x'"},
    {PART_ADDED, "[{\"content\":\"x\",\"id\":4,\"special\":\"yes\"}]", SAMPAN_EFORMAT, "added token 'x': 'special' is neither"},
    {PART_ADDED, "[{\"content\":\"x\",\"id\":4,\"single_word\":7}]", SAMPAN_EFORMAT, "added token 'x': 'single_word' is neither"},
    {PART_NORMALIZER, "7", SAMPAN_EFORMAT, "'normalizer' is not an object"},
    {PART_NORMALIZER, "{\"type\":\"NFX\"}", SAMPAN_EUNSUPPORTED, "'normalizer' contains 'NFX'"},
    {PART_NORMALIZER, "{\"type\":\"Prepend\"}", SAMPAN_EFORMAT, "Prepend whose 'prepend' is not a text"},
    {PART_NORMALIZER, "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"}}", SAMPAN_EFORMAT, "Replace whose 'content' is not a text"},
    {PART_NORMALIZER, "{\"type\":\"Replace\",\"pattern\":7,\"content\":\"\"}", SAMPAN_EFORMAT, "Replace whose 'pattern' is neither"},
    {PART_NORMALIZER, "{\"type\":\"Strip\",\"strip_left\":7}", SAMPAN_EFORMAT, "'strip_left' is neither"},
    {PART_NORMALIZER, "{\"type\":\"BertNormalizer\",\"lowercase\":7}", SAMPAN_EFORMAT, "'lowercase' is neither"},
    {PART_NORMALIZER, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"A*==\"}", SAMPAN_EFORMAT, "no base64 text: character 1"},
    {PART_NORMALIZER, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":null}", SAMPAN_EFORMAT, "no base64 text"},
    {PART_NORMALIZER, "{\"type\":\"Sequence\"}", SAMPAN_EFORMAT, "without an array 'normalizers'"},
    {PART_NORMALIZER, "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Precompiled\"}]}", SAMPAN_EFORMAT, "Precompiled"},
    {PART_PRE_TOKENIZER, "{\"type\":\"Lindera\"}", SAMPAN_EUNSUPPORTED, "'Lindera'"},
    {PART_PRE_TOKENIZER, "{\"type\":\"Metaspace\"}", SAMPAN_EFORMAT, "Metaspace whose 'replacement' is not a text"},
    {PART_PRE_TOKENIZER, "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", SAMPAN_EFORMAT, "not one character"},
    {PART_PRE_TOKENIZER, "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"often\"}", SAMPAN_EFORMAT, "never, first, always"},
    {PART_PRE_TOKENIZER, "{\"type\":\"CharDelimiterSplit\"}", SAMPAN_EFORMAT, "'delimiter'"},
    {PART_PRE_TOKENIZER, "{\"type\":\"FixedLength\",\"length\":0}", SAMPAN_EFORMAT, "'length'"},
    {PART_PRE_TOKENIZER, "{\"type\":\"Punctuation\",\"behavior\":\"x\"}", SAMPAN_EFORMAT, "'behavior' is 'x'"},
    {PART_PRE_TOKENIZER, "{\"type\":\"Split\"}", SAMPAN_EFORMAT, "neither {\"Regex\""},
    {PART_PRE_TOKENIZER, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"}}", SAMPAN_EFORMAT, "'behavior' is '(none)'"},
    {PART_PRE_TOKENIZER, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\",\"String\":\"a\"},\"behavior\":\"Removed\"}", SAMPAN_EFORMAT, "neither {\"Regex\""},
    {PART_POST_PROCESSOR, "{\"type\":\"TemplateProcessing\"}", SAMPAN_EFORMAT, "'single' is not an array"},
    {PART_POST_PROCESSOR, "{\"type\":\"TemplateProcessing\",\"single\":[]}", SAMPAN_EFORMAT, "without the text itself"},
    {PART_POST_PROCESSOR, "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}}]}", SAMPAN_EFORMAT, "without saying its ids"},
    {PART_POST_PROCESSOR, "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"s\"}}],\"special_tokens\":{\"s\":{\"ids\":[-1]}}}",
     SAMPAN_EFORMAT, "no token id"},
    {PART_POST_PROCESSOR, "{\"type\":\"RobertaProcessing\",\"cls\":[\"a\",0]}", SAMPAN_EFORMAT, "'cls' and 'sep'"},
    {PART_DECODER, "null", SAMPAN_EUNSUPPORTED, "byte-level"},
    {PART_DECODER, "{\"type\":\"CTC\"}", SAMPAN_EUNSUPPORTED, "'decoder' contains 'CTC'"},
    {PART_DECODER, "{\"type\":\"Strip\",\"content\":\" \",\"start\":-1,\"stop\":0}", SAMPAN_EFORMAT, "'start' is not a number"},
    {PART_DECODER, "{\"type\":\"WordPiece\"}", SAMPAN_EFORMAT, "WordPiece whose 'prefix'"},
    {PART_DECODER, "{\"type\":\"BPEDecoder\"}", SAMPAN_EFORMAT, "BPEDecoder whose 'suffix'"},
};

static void every_lie_gets_its_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct arena arena;
        struct tokenizer_spec spec;
        struct error err = {0};
        int code = parse(file_with(lies[i].part, lies[i].text), &arena, &spec, &err);
        if (code != lies[i].code || !strstr(err.message, lies[i].message))
            fail_msg("%s: code %d, '%s'", lies[i].text, code, err.message);
        arena_free(&arena);
    }
}

static void a_file_cut_at_any_byte_is_refused(void **state)
{
    const char *whole = file_with(N_PARTS, "");
    (void)state;
    for (size_t length = 0; length < strlen(whole); length++) {
        struct arena arena;
        struct tokenizer_spec spec;
        char *copy = malloc(length + 1); /* of its own, so that a sanitizer sees any reading beyond */
        memcpy(copy, whole, length);
        arena_init(&arena, 64u << 20);
        assert_int_equal(tokenizer_json_parse(copy, length, &arena, &spec, NULL), SAMPAN_EFORMAT);
        arena_free(&arena);
        free(copy);
    }
}

/* ---- folders ---- */

static char folder[] = "/tmp/sampan_test_XXXXXX";
static const char *const file_names[] = {"tokenizer.json",
                                         "tokenizer_config.json",
                                         "chat_template.jinja",
                                         "chat_template.json",
                                         "special_tokens_map.json",
                                         "config.json",
                                         "additional_chat_templates/tool_use.jinja",
                                         "additional_chat_templates"};

static void write_file(const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    return !mkdtemp(folder);
}

static int remove_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof file_names / sizeof file_names[0]; i++) {
        char path[200];
        snprintf(path, sizeof path, "%s/%s", folder, file_names[i]);
        remove(path);
    }
    return rmdir(folder);
}

static struct checkpoint *open_folder(void)
{
    struct checkpoint *checkpoint;
    struct error err = {0};
    if (checkpoint_open(folder, &checkpoint, &err))
        fail_msg("%s", err.message);
    return checkpoint;
}

static void a_folder_with_a_tokenizer_alone_opens(void **state)
{
    (void)state;
    write_file("tokenizer.json", file_with(N_PARTS, ""));
    struct checkpoint *checkpoint = open_folder();
    assert_true(checkpoint->has_tokenizer);
    assert_int_equal(checkpoint->kind, CHECKPOINT_HUGGING_FACE);
    assert_string_equal(checkpoint->path, folder);
    assert_int_equal(checkpoint->n_tensors, 0);
    assert_int_equal(checkpoint->tokenizer.bos_id, -1);
    assert_null(checkpoint->tokenizer.chat_template);
    checkpoint_close(checkpoint);
}

static void the_configuration_names_tokens_and_template(void **state)
{
    (void)state;
    write_file("tokenizer.json", file_with(N_PARTS, ""));
    write_file("tokenizer_config.json",
               "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"<x>\",\"add_bos_token\":true,\"unk_token\":null,\"pad_token\":\"absent\","
               "\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T\"},{\"name\":\"default\",\"template\":\"D\"}]}");
    struct checkpoint *checkpoint = open_folder();
    const struct tokenizer_spec *spec = &checkpoint->tokenizer;
    assert_int_equal(spec->bos_id, 3);
    assert_int_equal(spec->eos_id, 6);
    assert_int_equal(spec->padding_id, -1);
    assert_true(spec->add_bos && !spec->add_eos);
    assert_string_equal(spec->chat_template, "D");
    assert_string_equal(spec->tool_template, "T");
    assert_int_equal(spec->n_eog_ids, 1);
    assert_int_equal(spec->eog_ids[0], 6);
    checkpoint_close(checkpoint);
    write_file("chat_template.jinja", "J");
    checkpoint = open_folder();
    assert_string_equal(checkpoint->tokenizer.chat_template, "J"); /* the file stands for the entry */
    checkpoint_close(checkpoint);
}

static void older_and_newer_files_beside_it_are_read_in_their_order(void **state)
{
    (void)state;
    char path[200];
    write_file("tokenizer.json", file_with(N_PARTS, ""));
    write_file("special_tokens_map.json", "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"<x>\"},\"pad_token\":\"<s>\"}");
    write_file("chat_template.json", "{\"chat_template\":\"J\"}");
    struct checkpoint *checkpoint = open_folder();
    assert_int_equal(checkpoint->tokenizer.bos_id, 3);
    assert_int_equal(checkpoint->tokenizer.eos_id, 6);
    assert_string_equal(checkpoint->tokenizer.chat_template, "J");
    assert_null(checkpoint->tokenizer.tool_template);
    checkpoint_close(checkpoint);
    snprintf(path, sizeof path, "%s/additional_chat_templates", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("additional_chat_templates/tool_use.jinja", "U");
    write_file("tokenizer_config.json", "{\"bos_token\":\"<x>\",\"pad_token\":null,\"chat_template\":\"C\"}");
    checkpoint = open_folder();
    assert_int_equal(checkpoint->tokenizer.bos_id, 6); /* tokenizer_config.json goes before the older files */
    assert_int_equal(checkpoint->tokenizer.eos_id, 6);
    assert_int_equal(checkpoint->tokenizer.padding_id, -1); /* null: there is none */
    assert_string_equal(checkpoint->tokenizer.chat_template, "C");
    assert_string_equal(checkpoint->tokenizer.tool_template, "U");
    checkpoint_close(checkpoint);
}

/* Told to tokenize, such a folder does; told to run, it says what is missing. */
static void a_folder_without_weights_opens_for_its_tokenizer(void **state)
{
    (void)state;
    struct error err = {0};
    struct checkpoint *checkpoint;
    write_file("config.json", "{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":4}");
    assert_int_equal(checkpoint_open(folder, &checkpoint, &err), SAMPAN_ENOTFOUND);
    assert_non_null(strstr(err.message, "neither model.safetensors nor"));
    write_file("tokenizer.json", file_with(N_PARTS, ""));
    checkpoint = open_folder();
    assert_true(checkpoint->has_tokenizer);
    assert_string_equal(checkpoint->architecture, "LlamaForCausalLM");
    assert_non_null(strstr(checkpoint->weights_problem, "neither model.safetensors nor"));
    checkpoint_close(checkpoint);
}

static void the_post_processor_decides_before_the_configuration(void **state)
{
    (void)state;
    write_file("tokenizer.json",
               file_with(PART_POST_PROCESSOR,
                         "{\"type\":\"Sequence\",\"processors\":[" BYTE_LEVEL ",{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
                         "{\"id\":\"s\"}},{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"x\"}}],\"special_tokens\":{\"s\":{\"ids\":[3]},"
                         "\"x\":{\"ids\":[6,3]}}}]}"));
    write_file("tokenizer_config.json", "{\"bos_token\":\"<s>\",\"add_bos_token\":false}");
    struct checkpoint *checkpoint = open_folder();
    const struct tokenizer_spec *spec = &checkpoint->tokenizer;
    assert_int_equal(spec->n_before, 1);
    assert_int_equal(spec->before[0], 3);
    assert_int_equal(spec->n_behind, 2);
    assert_int_equal(spec->behind[1], 3);
    assert_true(spec->add_bos);
    checkpoint_close(checkpoint);
}

static void a_wrong_configuration_is_refused_with_its_path(void **state)
{
    static const char *const wrong[][2] = {
        {"[]", "not a JSON object"},
        {"{\"bos_token\":7}", "'bos_token' is neither"},
        {"{\"add_bos_token\":true}", "'bos_token' is not a token"},
        {"{\"add_eos_token\":1}", "'add_eos_token' is neither true nor false"},
        {"{\"chat_template\":7}", "'chat_template' is neither"},
        {"{\"chat_template\":[{\"name\":\"default\"}]}", "entry 0 has no"},
    };
    (void)state;
    write_file("tokenizer.json", file_with(N_PARTS, ""));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct checkpoint *checkpoint;
        struct error err = {0};
        write_file("tokenizer_config.json", wrong[i][0]);
        assert_int_equal(checkpoint_open(folder, &checkpoint, &err), SAMPAN_EFORMAT);
        if (!strstr(err.message, wrong[i][1]) || !strstr(err.message, "tokenizer_config.json"))
            fail_msg("%s: %s", wrong[i][0], err.message);
    }
}

static void a_tokenizer_of_an_unknown_kind_opens_without_it_and_says_why(void **state)
{
    (void)state;
    write_file("tokenizer.json", file_with(PART_MODEL, "{\"type\":\"WordLevel\"}"));
    struct checkpoint *checkpoint = open_folder();
    assert_false(checkpoint->has_tokenizer);
    assert_non_null(strstr(checkpoint->tokenizer_problem, "type 'WordLevel'"));
    checkpoint_close(checkpoint);
}

static void every_failing_allocation_and_read_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    write_file("tokenizer.json", file_with(N_PARTS, ""));
    write_file("tokenizer_config.json", "{\"bos_token\":\"<s>\",\"chat_template\":\"D\"}");
    write_file("chat_template.jinja", "J");
    struct checkpoint *checkpoint;
    int code = SAMPAN_ENOMEM;
    for (int64_t n = 0; code; n++) {
        mem_fail_after(n);
        code = checkpoint_open(folder, &checkpoint, NULL);
        mem_fail_after(-1);
        assert_true(!code || code == SAMPAN_ENOMEM);
    }
    checkpoint_close(checkpoint);
    for (int64_t n = 0; n < 3; n++) { /* three files, one read each */
        file_fail_read_after(n);
        assert_int_equal(checkpoint_open(folder, &checkpoint, NULL), SAMPAN_EIO);
    }
    file_fail_read_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_written_arrives_in_the_spec),
        cmocka_unit_test(merges_as_text_and_as_pairs_are_the_same),
        cmocka_unit_test(every_lie_gets_its_answer),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test_setup_teardown(a_folder_with_a_tokenizer_alone_opens, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_configuration_names_tokens_and_template, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(older_and_newer_files_beside_it_are_read_in_their_order, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_without_weights_opens_for_its_tokenizer, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_post_processor_decides_before_the_configuration, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_wrong_configuration_is_refused_with_its_path, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_tokenizer_of_an_unknown_kind_opens_without_it_and_says_why, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(every_failing_allocation_and_read_is_an_error_and_leaks_nothing, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
