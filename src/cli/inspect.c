/* sampan inspect: what is in a checkpoint, and what this build would make of it. It reads headers only, and works for models that cannot run, too: it then
 * says why. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash_map.h"
#include "cli/quantization_report.h"
#include "cli/inspect_memory.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "file/checkpoint.h"
#include "model/model.h"
#include "model/quantize.h"

enum { F16_BYTES = 2, SHOWN_ELEMENTS = 6, SHOWN_STRING = 200 };
#define PROGRAM_MEMORY_LIMIT ((size_t)256 << 20)

struct inspection {
    struct checkpoint *checkpoint;
    struct session session; /* the model alone: description and token texts */
    struct arena arena;
    const struct model_family *family; /* NULL: not known here */
    const struct program *program;     /* NULL: see problem */
    struct error problem;
    struct inspect_memory memory; /* to reckon with */
    struct hash_map used;         /* names of tensors that the program reads */
    size_t n_unused;
    uint64_t file_bytes;
    struct buffer out;
};

/* ---- Gathering. */

static int mark_used(struct inspection *inspection)
{
    const struct program *program = inspection->program;
    for (int32_t w = 0; program && w < program->n_weights; w++)
        for (int32_t p = 0; p < program->weights[w].n_parts; p++) {
            const char *name = program->weights[w].parts[p].name;
            if (name && hash_map_put(&inspection->used, name, strlen(name), 1, NULL))
                return cli_fail("out of memory while inspecting");
        }
    return EXIT_OK;
}

static bool is_used(const struct inspection *inspection, const struct checkpoint_tensor *tensor)
{
    return hash_map_get(&inspection->used, tensor->name, strlen(tensor->name), NULL);
}

static int gather(struct inspection *inspection, const struct arguments *arguments)
{
    struct error err;
    struct model_options options = {0};
    enum tensor_type quantize;
    const char *asked = arguments->values[OPTION_QUANTIZE].text;
    if (asked && quantize_type_from_name(asked, &quantize, &err))
        return cli_usage("%s", err.message);
    options.quantize = asked ? &quantize : NULL;
    int status = session_open_model(&inspection->session, arguments);
    if (status)
        return status;
    if (checkpoint_open(inspection->session.model_description.path, &inspection->checkpoint, &err))
        return cli_fail("%s", err.message);
    if (!model_find_family(inspection->checkpoint, &inspection->family, &inspection->problem))
        model_write_program(inspection->checkpoint, &options, &inspection->arena, &inspection->program, &inspection->problem);
    if (!inspection->program && inspection->problem.code == SAMPAN_ENOMEM)
        return cli_fail("%s", inspection->problem.message);
    const struct file *last = NULL;
    for (size_t i = 0; i < inspection->checkpoint->n_tensors; i++) {
        const struct checkpoint_tensor *tensor = &inspection->checkpoint->tensors[i];
        if (tensor->file != last)
            inspection->file_bytes += tensor->file->size;
        last = tensor->file;
    }
    if (inspection->program) {
        inspection->memory = (struct inspect_memory){.program = inspection->program,
                                                     .weight_bytes = program_weight_bytes(inspection->program),
                                                     .context = (int32_t)arguments->values[OPTION_CONTEXT].integer,
                                                     .batch = (int32_t)arguments->values[OPTION_BATCH].integer};
        if (inspection->memory.context > inspection->program->context_length)
            return cli_fail("--context is %" PRId32 ", the model was made for %" PRId32 " tokens", inspection->memory.context,
                            inspection->program->context_length);
    }
    status = mark_used(inspection);
    for (size_t i = 0; i < inspection->checkpoint->n_tensors; i++)
        inspection->n_unused += inspection->program && !is_used(inspection, &inspection->checkpoint->tensors[i]);
    return status;
}

struct type_share {
    uint64_t n_tensors, bytes;
};

static void count_types(const struct checkpoint *checkpoint, struct type_share shares[TENSOR_TYPE_COUNT])
{
    memset(shares, 0, TENSOR_TYPE_COUNT * sizeof *shares);
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        shares[checkpoint->tensors[i].type].n_tensors++;
        shares[checkpoint->tensors[i].type].bytes += checkpoint->tensors[i].bytes;
    }
}

/* ---- Printing for a person. */

static void print_field(struct buffer *out, const char *name)
{
    buffer_printf(out, "%-15s ", name);
}

static void append_shape(struct buffer *out, const struct checkpoint_tensor *tensor, const char *separator)
{
    for (int d = 0; d < tensor->n_dimensions; d++)
        buffer_printf(out, "%s%" PRIu64, d ? separator : "", tensor->shape[d]);
}

static void append_value(struct buffer *out, const struct metadata_value *value, bool whole)
{
    switch (value->type) {
    case METADATA_UNSIGNED: buffer_printf(out, "%" PRIu64, value->u); return;
    case METADATA_SIGNED: buffer_printf(out, "%" PRId64, value->i); return;
    case METADATA_FLOAT: buffer_printf(out, "%.9g", value->f); return;
    case METADATA_BOOL: buffer_append_string(out, value->b ? "true" : "false"); return;
    case METADATA_STRING:
        json_append_string(out, value->string.data, whole || value->string.length < SHOWN_STRING ? value->string.length : SHOWN_STRING);
        if (!whole && value->string.length >= SHOWN_STRING)
            buffer_printf(out, "... (%zu bytes)", value->string.length);
        return;
    case METADATA_ARRAY: break;
    }
    buffer_append_char(out, '[');
    for (size_t i = 0; i < value->array.count && i < SHOWN_ELEMENTS; i++) {
        buffer_append_string(out, i ? ", " : "");
        append_value(out, &value->array.elements[i], false);
    }
    if (value->array.count > SHOWN_ELEMENTS)
        buffer_printf(out, ", ... (%zu elements)", value->array.count);
    buffer_append_char(out, ']');
}

static void print_metadata(struct inspection *inspection)
{
    const struct checkpoint *checkpoint = inspection->checkpoint;
    buffer_printf(&inspection->out, "\nmetadata (%zu keys)\n", checkpoint->n_metadata);
    for (size_t i = 0; i < checkpoint->n_metadata; i++) {
        buffer_printf(&inspection->out, "  %-44s ", checkpoint->metadata[i].key);
        append_value(&inspection->out, &checkpoint->metadata[i].value, false);
        buffer_append_char(&inspection->out, '\n');
    }
}

static void print_tensors(struct inspection *inspection)
{
    char bytes[32];
    buffer_append_string(&inspection->out, "\ntensors\n");
    for (size_t i = 0; i < inspection->checkpoint->n_tensors; i++) {
        const struct checkpoint_tensor *tensor = &inspection->checkpoint->tensors[i];
        buffer_printf(&inspection->out, "  %-40s %-6s [", tensor->name, tensor_types[tensor->type].name);
        append_shape(&inspection->out, tensor, ", ");
        buffer_printf(&inspection->out, "] %s%s\n", format_bytes(tensor->bytes, bytes),
                      inspection->program && !is_used(inspection, tensor) ? " (not used)" : "");
    }
}

static void print_types(struct inspection *inspection)
{
    struct type_share shares[TENSOR_TYPE_COUNT];
    char bytes[32];
    uint64_t total = inspection->session.model_description.weight_bytes;
    count_types(inspection->checkpoint, shares);
    for (int type = 0; type < TENSOR_TYPE_COUNT; type++) {
        if (!shares[type].n_tensors)
            continue;
        print_field(&inspection->out, "");
        buffer_printf(&inspection->out, "%-6s %5" PRIu64 " tensors, %s (%.1f%%)\n", tensor_types[type].name, shares[type].n_tensors,
                      format_bytes(shares[type].bytes, bytes), total ? 100.0 * (double)shares[type].bytes / (double)total : 0.0);
    }
}

static void append_token(struct inspection *inspection, int32_t id)
{
    const char *text;
    size_t length;
    if (id < 0) {
        buffer_append_string(&inspection->out, "none");
        return;
    }
    buffer_printf(&inspection->out, "%" PRId32, id);
    if (!sampan_token_text(inspection->session.model, id, &text, &length)) {
        buffer_append_char(&inspection->out, ' ');
        json_append_string(&inspection->out, text, length);
    }
}

static void print_text_room(struct inspection *inspection)
{
    const struct checkpoint *checkpoint = inspection->checkpoint;
    const struct tokenizer_spec *spec = &checkpoint->tokenizer;
    struct buffer *out = &inspection->out;
    print_field(out, "tokenizer");
    if (!checkpoint->has_tokenizer) {
        buffer_printf(out, "none that can be used: %s\n", checkpoint->tokenizer_problem ? checkpoint->tokenizer_problem : "the file has none");
        return;
    }
    buffer_printf(out, "%d tokens, pre-tokenizer ", spec->n_tokens);
    if (spec->n_stages)
        buffer_printf(out, "of %d stages; BOS ", spec->n_stages);
    else
        buffer_printf(out, "%s; BOS ", spec->pretokenizer ? spec->pretokenizer : "none");
    append_token(inspection, spec->bos_id);
    buffer_printf(out, "%s, an answer ends with ", spec->add_bos ? " (added)" : "");
    for (int i = 0; i < spec->n_eog_ids; i++) {
        buffer_append_string(out, i ? ", " : "");
        append_token(inspection, spec->eog_ids[i]);
    }
    buffer_append_string(out, "\n");
    print_field(out, "chat template");
    if (spec->chat_template)
        buffer_printf(out, "%zu bytes%s\n", spec->chat_template_length, spec->tool_template ? ", another for conversations with tools" : "");
    else
        buffer_append_string(out, "none\n");
}

static void append_recommended(struct buffer *out, const char *name, double value, int *n)
{
    if (value >= 0)
        buffer_printf(out, "%s%s %g", (*n)++ ? ", " : "", name, value);
}

/* Negative: not said. */
static void print_sampling(struct inspection *inspection)
{
    struct sampan_request recommended = {
        .size = sizeof recommended, .temperature = -1, .top_k = -1, .top_p = -1, .min_p = -1, .typical_p = -1, .repetition_penalty = -1};
    struct buffer *out = &inspection->out;
    int n = 0;
    print_field(out, "sampling");
    if (sampan_model_recommend(inspection->session.model, &recommended, NULL)) {
        buffer_printf(out, "%s\n", sampan_error_message());
        return;
    }
    append_recommended(out, "temperature", recommended.temperature, &n);
    append_recommended(out, "top-k", recommended.top_k, &n);
    append_recommended(out, "top-p", recommended.top_p, &n);
    append_recommended(out, "min-p", recommended.min_p, &n);
    append_recommended(out, "typical-p", recommended.typical_p, &n);
    append_recommended(out, "repetition penalty", recommended.repetition_penalty, &n);
    buffer_append_string(out, n ? ", as its maker recommends\n" : "its maker recommends nothing\n");
}

static void print_running(struct inspection *inspection)
{
    struct buffer *out = &inspection->out;
    print_field(out, "runs here");
    if (!inspection->program) {
        buffer_printf(out, "no: %s\n", inspection->problem.message);
        return;
    }
    buffer_printf(out, "yes, family %s: %zu tensors used, %zu not used\n", inspection->family->name, inspection->checkpoint->n_tensors - inspection->n_unused,
                  inspection->n_unused);
    inspect_print_memory(&inspection->memory, out);
}

static void print_summary(struct inspection *inspection)
{
    char file[32], weights[32];
    const struct sampan_model_description *model = &inspection->session.model_description;
    struct buffer *out = &inspection->out;
    print_field(out, "file");
    buffer_printf(out, "%s (%s, %s)\n", model->path, format_bytes(inspection->file_bytes, file),
                  inspection->checkpoint->kind == CHECKPOINT_GGUF ? "GGUF" : "Hugging Face");
    print_field(out, "name");
    buffer_printf(out, "%s\n", *model->name ? model->name : "(none given)");
    print_field(out, "architecture");
    buffer_printf(out, "%s\n", *model->architecture ? model->architecture : "(none given)");
    print_field(out, "sizes");
    buffer_printf(out, "%" PRId32 " layers, hidden size %" PRId32 ", context %" PRId32 " tokens\n", model->n_layers, model->hidden_size, model->context_length);
    print_field(out, "weights");
    buffer_printf(out, "%.1f M parameters in %zu tensors, %s\n", (double)model->n_parameters * 1e-6, inspection->checkpoint->n_tensors,
                  format_bytes(model->weight_bytes, weights));
    print_types(inspection);
    print_text_room(inspection);
    print_sampling(inspection);
    print_running(inspection);
}

/* ---- JSON. */

static void json_field(struct buffer *out, const char *name, const char *text)
{
    buffer_printf(out, "\"%s\": ", name);
    json_append_string(out, text, strlen(text));
    buffer_append_string(out, ",\n");
}

static void json_tensors(struct inspection *inspection)
{
    struct buffer *out = &inspection->out;
    buffer_append_string(out, ",\n\"tensors\": [");
    for (size_t i = 0; i < inspection->checkpoint->n_tensors; i++) {
        const struct checkpoint_tensor *tensor = &inspection->checkpoint->tensors[i];
        buffer_append_string(out, i ? ",\n{\"name\": " : "\n{\"name\": ");
        json_append_string(out, tensor->name, strlen(tensor->name));
        buffer_printf(out, ", \"type\": \"%s\", \"shape\": [", tensor_types[tensor->type].name);
        append_shape(out, tensor, ", ");
        buffer_printf(out, "], \"offset\": %" PRIu64 ", \"bytes\": %" PRIu64, tensor->offset, tensor->bytes);
        if (inspection->program)
            buffer_printf(out, ", \"used\": %s", is_used(inspection, tensor) ? "true" : "false");
        buffer_append_char(out, '}');
    }
    buffer_append_char(out, ']');
}

static void json_program(struct inspection *inspection, bool whole)
{
    struct buffer text;
    buffer_init(&text, (size_t)64 << 20);
    program_print(inspection->program, whole, &text);
    if (text.failed)
        inspection->out.failed = text.failed;
    buffer_append_string(&inspection->out, ",\n\"program\": ");
    json_append_string(&inspection->out, text.data, text.length);
    buffer_free(&text);
}

static void json_tokenizer(struct inspection *inspection)
{
    const struct tokenizer_spec *spec = &inspection->checkpoint->tokenizer;
    struct buffer *out = &inspection->out;
    if (!inspection->checkpoint->has_tokenizer) {
        buffer_append_string(out, "\"tokenizer\": null,\n");
        return;
    }
    buffer_printf(out, "\"tokenizer\": {\"tokens\": %d, \"pretokenizer\": ", spec->n_tokens);
    json_append_string(out, spec->pretokenizer ? spec->pretokenizer : "", spec->pretokenizer ? strlen(spec->pretokenizer) : 0);
    buffer_printf(out, ", \"bos\": %" PRId32 ", \"add_bos\": %s, \"end_tokens\": [", spec->bos_id, spec->add_bos ? "true" : "false");
    for (int i = 0; i < spec->n_eog_ids; i++)
        buffer_printf(out, "%s%" PRId32, i ? ", " : "", spec->eog_ids[i]);
    buffer_printf(out, "], \"chat_template\": %s},\n", spec->chat_template ? "true" : "false");
}

static void json_summary(struct inspection *inspection)
{
    const struct sampan_model_description *model = &inspection->session.model_description;
    struct type_share shares[TENSOR_TYPE_COUNT];
    struct buffer *out = &inspection->out;
    json_field(out, "path", model->path);
    json_field(out, "name", model->name);
    json_field(out, "architecture", model->architecture);
    buffer_printf(out, "\"layers\": %" PRId32 ",\n\"hidden_size\": %" PRId32 ",\n\"context\": %" PRId32 ",\n\"parameters\": %" PRIu64 ",\n", model->n_layers,
                  model->hidden_size, model->context_length, model->n_parameters);
    buffer_printf(out, "\"file_bytes\": %" PRIu64 ",\n\"weight_bytes\": %" PRIu64 ",\n\"n_tensors\": %zu,\n\"types\": {", inspection->file_bytes,
                  model->weight_bytes, inspection->checkpoint->n_tensors);
    count_types(inspection->checkpoint, shares);
    for (int type = 0, n = 0; type < TENSOR_TYPE_COUNT; type++)
        if (shares[type].n_tensors)
            buffer_printf(out, "%s\"%s\": {\"tensors\": %" PRIu64 ", \"bytes\": %" PRIu64 "}", n++ ? ", " : "", tensor_types[type].name, shares[type].n_tensors,
                          shares[type].bytes);
    buffer_append_string(out, "},\n");
    json_tokenizer(inspection);
    if (inspection->program) {
        buffer_printf(out, "\"family\": \"%s\",\n\"cache_bytes_per_token_f16\": %" PRIu64 ",\n\"n_unused_tensors\": %zu,\n", inspection->family->name,
                      program_cache_bytes_per_token(inspection->program, F16_BYTES), inspection->n_unused);
        inspect_json_memory(&inspection->memory, out);
    } else {
        json_field(out, "problem", inspection->problem.message);
    }
    buffer_printf(out, "\"runs\": %s", inspection->program ? "true" : "false");
}

static void json_metadata(struct inspection *inspection)
{
    const struct checkpoint *checkpoint = inspection->checkpoint;
    buffer_append_string(&inspection->out, ",\n\"metadata\": {");
    for (size_t i = 0, n = 0; i < checkpoint->n_metadata; i++) {
        if (checkpoint->metadata[i].value.type == METADATA_ARRAY)
            continue; /* vocabularies: sampan tokenize knows them better */
        buffer_append_string(&inspection->out, n++ ? ",\n" : "\n");
        json_append_string(&inspection->out, checkpoint->metadata[i].key, strlen(checkpoint->metadata[i].key));
        buffer_append_string(&inspection->out, ": ");
        append_value(&inspection->out, &checkpoint->metadata[i].value, true);
    }
    buffer_append_char(&inspection->out, '}');
}

/* ---- The command. */

/* Exit code. */
static int write_report(struct inspection *inspection, const struct option_value *values)
{
    struct buffer *out = &inspection->out;
    bool metadata = values[OPTION_METADATA].count || !inspection->program;
    if (values[OPTION_JSON].count) {
        buffer_append_string(out, "{");
        json_summary(inspection);
        if (values[OPTION_TENSORS].count)
            json_tensors(inspection);
        if (values[OPTION_PROGRAM].count)
            json_program(inspection, values[OPTION_ALL].count);
        if (metadata)
            json_metadata(inspection);
        int status = values[OPTION_QUANTIZE].count ? quantization_report(inspection->program, true, out) : EXIT_OK;
        buffer_append_string(out, "}\n");
        return status;
    }
    print_summary(inspection);
    if (metadata)
        print_metadata(inspection);
    if (values[OPTION_TENSORS].count)
        print_tensors(inspection);
    if (values[OPTION_PROGRAM].count) {
        buffer_append_string(out, "\n");
        program_print(inspection->program, values[OPTION_ALL].count, out);
    }
    return values[OPTION_QUANTIZE].count ? quantization_report(inspection->program, false, out) : EXIT_OK;
}

static int run_inspect(const struct arguments *arguments)
{
    const struct option_value *values = arguments->values;
    static struct inspection inspection;
    if (values[OPTION_ALL].count && !values[OPTION_PROGRAM].count)
        return cli_usage("--all goes with --program");
    inspection = (struct inspection){0};
    arena_init(&inspection.arena, PROGRAM_MEMORY_LIMIT);
    buffer_init(&inspection.out, (size_t)1 << 30);
    int status = gather(&inspection, arguments);
    if (!status && (values[OPTION_PROGRAM].count || values[OPTION_QUANTIZE].count) && !inspection.program)
        status = cli_fail("there is no program to look at: %s", inspection.problem.message);
    if (!status)
        status = write_report(&inspection, values);
    if (!status) {
        if (inspection.out.failed)
            status = cli_fail("out of memory while writing the report");
        else
            terminal_write_text(inspection.out.data, inspection.out.length);
    }
    hash_map_free(&inspection.used);
    arena_free(&inspection.arena);
    buffer_free(&inspection.out);
    checkpoint_close(inspection.checkpoint);
    session_close(&inspection.session);
    return status;
}

static const struct option_row inspect_options[] = {
    {OPTION_PROGRAM, "program", OPTION_IS_FLAG, NULL, "the forward pass, operation by operation", 0, 0, false},
    {OPTION_ALL, "all", OPTION_IS_FLAG, NULL, "with --program: every layer, also those like the one before", 0, 0, false},
    {OPTION_TENSORS, "tensors", OPTION_IS_FLAG, NULL, "every tensor: name, type, shape, bytes", 0, 0, false},
    {OPTION_METADATA, "metadata", OPTION_IS_FLAG, NULL, "every key of the file (always, when the model cannot run)", 0, 0, false},
    {OPTION_QUANTIZE, "quantize", OPTION_IS_TEXT, "TYPE", "what --quantize TYPE would make of it: reads all weights, shows each tensor's error", 0, 0, false},
    {OPTION_CONTEXT, "context", OPTION_IS_INTEGER, "N", "reckon memory for conversations of N tokens (default: the model's)", 1, LIMIT_CONTEXT, false},
    {OPTION_BATCH, "batch", OPTION_IS_INTEGER, "N", "reckon memory for N conversations (default: one)", 1, LIMIT_SEQUENCES, false},
    {OPTION_JSON, "json", OPTION_IS_FLAG, NULL, "print one JSON object", 0, 0, false},
    OPTION_ROWS_END,
};

static const char *const inspect_examples[] = {
    "sampan inspect model.gguf",
    "sampan inspect model.gguf --program          # how it computes",
    "sampan inspect model.gguf --tensors --json   # for a program",
    "sampan inspect model.gguf --context 32768 --batch 8   # memory of eight long conversations",
    "sampan inspect folder --quantize q4_k        # errors of quantising while loading",
    NULL,
};

const struct command inspect_command = {
    "inspect",
    "what is in a model's file, and whether it runs here",
    "[MODEL]",
    0,
    1,
    inspect_options,
    inspect_examples,
    "Reads headers only, but with --quantize. A model that cannot run here is described as well, with the reason.",
    run_inspect,
};
